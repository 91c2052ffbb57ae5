"""Summary of a run with more outputs than anybody reads."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.report import summary_lines
from prism_cli.engine.run_board import RunBoard
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.shard_report import ShardReport
from prism_cli.engine.shard_worker import ShardWorker
from prism_cli.engine.skipped_outputs import SkippedOutputs
from prism_cli.engine.spread import Here
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError, LockedError
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


def test_of_many_refused_outputs_the_first_are_listed_and_the_rest_counted() -> None:
    skipped = SkippedOutputs()
    for number in range(1000):
        reasons = [f"seed: was {number}, is 7", "limit: was 1, is none"]
        skipped.add(f"my out/{number}.jsonl", ChangedInputError("", reasons=reasons))
    lines = str(skipped.error(2000, 1000)).splitlines()
    assert len(lines) <= 14
    assert lines[2] == "  my out/0.jsonl: seed: was 0, is 7"
    assert lines[-1] == "  and 995 more: prism status 'my out'"
    for number in range(1000):
        skipped.add(f"else/{number}.jsonl", LockedError(""))
    lines = str(skipped.error(2000, 0)).splitlines()
    assert len(lines) <= 14
    assert "  and 998 more: prism status 'my out'" in lines
    assert lines[-1].startswith("  else/0.jsonl, ")
    assert lines[-1].endswith(", and 995 more")
