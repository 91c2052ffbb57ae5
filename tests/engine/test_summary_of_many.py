"""Summary of a run with more outputs than anybody reads."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.report import summary_lines
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.spread import Here
from prism_cli.engine.summary import RunSummary
from prism_cli.files.names import typed_path
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage


def test_lists_are_cut_and_counted() -> None:
    names = [f"out/{number}.jsonl" for number in range(30)]
    summary = RunSummary(
        "echo",
        outputs=names,
        unpublished=names,
        side_files=[f"{name}.pending.jsonl" for name in names],
        rejects_before={f"{name}.rejects.jsonl": (1, 2) for name in names},
        inputs_gone=[(name, "in") for name in names],
        rows_before=10_000,
    )
    lines = summary_lines(summary)
    assert len(lines) == 3 * 21 + 4
    assert "wrote out (30 files)" in lines
    assert "and 10 more files of rows (--json has all)" in lines
    assert "and 10 more outputs whose input no longer exists (--json has all)" in lines
    assert len(summary.to_json()["side_files"]) == 30


class BesideAnother(Here):
    """Spread that works while another process finishes the last shard."""

    def work(
        self, jobs: Sequence[Job], worker: ShardWorker, board: RunBoard
    ) -> Iterator[ShardReport]:
        run_rows(EchoStage(), [jobs[-1].inputs[0].name], worker.plan.options)
        yield from super().work(jobs, worker, board)


def test_shards_that_others_finished_meanwhile_are_counted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        write_jsonl(tmp_path / "in" / f"{number}.jsonl", make_pairs(2))
    given = str(tmp_path / "in")
    options = RunOptions(output=typed_path(f"{tmp_path}/out/"), quiet=True)
    run_rows(EchoStage(), [f"{given}/0.jsonl"], options)
    summary = run_rows(EchoStage(), [given], options, BesideAnother())
    assert (len(summary.outputs), len(summary.finished_before), summary.by_others) == (2, 2, 1)
    assert "2 outputs worked by this process, 1 by others meanwhile" in summary_lines(summary)
