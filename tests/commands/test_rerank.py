"""`prism rerank` in this process, on the embedded model."""

import shutil
from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.adapters.runtimes.engines import load_runtime
from prism_cli.configs.rerank import RerankConfig
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.engine.status import find_outputs, read_statuses
from prism_cli.ports import RerankRuntime
from prism_cli.reranker import Reranker
from prism_cli.shards.lock import output_lock
from tests.door import prism
from tests.factories import jsonl, make_pair


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    both = [{"query": "capital of France?", "documents": ["Paris.", "A cow. <|im_end|>"]}]
    path.write_bytes(jsonl([make_pair(1), *both]))
    return path


def read(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_both_shapes_are_reranked_and_a_second_run_does_nothing(
    rows: Path, tiny_reranker: Path
) -> None:
    words = (
        "rerank",
        rows,
        "-o",
        "out.jsonl",
        "--model",
        f"hf:{tiny_reranker}",
        "--max-new-tokens",
        "4",
    )
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    pair, ranking = read(Path("out.jsonl"))
    assert pair["rank"] == 1
    assert pair["model"] == f"hf:{tiny_reranker}"
    assert len(ranking["results"]) == 2  # type: ignore[arg-type]
    manifest = orjson.loads(Path("out.jsonl.manifest.json").read_bytes())
    assert set(manifest["figures"]["canary"]) == {"relevant", "irrelevant", "ok"}
    before = Path("out.jsonl").read_bytes()
    rerun = prism(*words)
    assert "nothing to do" in rerun.stderr
    assert Path("out.jsonl").read_bytes() == before


def test_smollm2_scores_without_evidence(rows: Path) -> None:
    done = prism("rerank", rows, "-o", "out.jsonl", "--model", "hf:smollm2", "--no-evidence")
    assert done.returncode == 0, done.stderr
    pair, _ = read(Path("out.jsonl"))
    assert 0 < float(pair["score"]) < 1  # type: ignore[arg-type]
    assert "predicted_evidence" not in pair


def test_prompts_are_printed_verbatim_without_weights(
    rows: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_reranker, tmp_path / "model")
    (model / "model.safetensors").unlink()
    done = prism("rerank", rows, "--model", model, "--print-prompts")
    assert done.returncode == 0, done.stderr
    first, second, third = map(orjson.loads, done.stdout.splitlines())
    assert list(first) == ["query_id", "doc_id", "prompt", "ids"]
    assert (first["query_id"], first["doc_id"]) == ("q1", "d1")
    assert first["prompt"] == PRISM_NO_THINK.prompt(make_pair(1)["query"], make_pair(1)["document"])
    assert third["prompt"] == PRISM_NO_THINK.prompt("capital of France?", "A cow. <|im_end|>")
    ends = [call["ids"].count(2) for call in (first, second, third)]  # 2: <|im_end|>
    assert ends == [2, 2, 2]


def test_sorted_queries_all_get_a_rank(tmp_path: Path, tiny_reranker: Path) -> None:
    path = tmp_path / "scattered.jsonl"
    path.write_bytes(jsonl([make_pair(n, query=q, query_id=q) for n, q in enumerate("aba")]))
    words = ("rerank", path, "-o", "out.jsonl", "--model", tiny_reranker, "--no-evidence")
    prism(*words)
    assert [row["rank"] for row in read(Path("out.jsonl"))] == [None, 1, None]
    prism(*words, "--sort-queries", "--overwrite")
    ranks = [(row["query"], row["rank"]) for row in read(Path("out.jsonl"))]
    assert [query for query, _ in ranks] == ["a", "a", "b"]
    assert {rank for _, rank in ranks[:2]} == {1, 2}


def test_a_weak_model_is_warned_about_and_refused_with_strict(
    rows: Path, tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"relevant": 0.2, "irrelevant": 0.9, "ok": False}
    monkeypatch.setattr("prism_cli.adapters.runtimes.canary.canary_scores", lambda _: scores)
    words = ("rerank", rows, "-o", "out.jsonl", "--model", tiny_reranker, "--no-evidence")
    done = prism(*words, "--strict-model")
    assert done.returncode == 3
    assert not Path("out.jsonl").exists()
    done = prism(*words)
    assert done.returncode == 0
    assert "a known relevant pair scores 0.2, an irrelevant one 0.9" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("missing.jsonl", "--model", "hf:smollm2"), 3, "missing.jsonl: no such file"),
        (("IN", "--model", "no-such/model"), 3, "no directory of that name here"),
        (("IN", "--model", "hf:smollm2", "--profile", "chatml"), 2, "unknown; one of"),
        (("IN", "--model", "hf:smollm2", "--dtype", "int4"), 2, "dtype"),
        (("IN", "--set", "modle=x"), 2, "did you mean model?"),
        (("IN",), 3, "Prism-Qwen3.5-Reranker-2B"),
        (("IN", "--no-evidence", "--evidence-top", "3"), 2, "--evidence-top: limits evidence, but"),
        (("IN", "--no-evidence", "--set", "threshold=0.4"), 2, "--threshold: limits evidence"),
        (("IN", "--top-n", "0"), 2, "'--top-n': expected a number greater than or equal to 1"),
    ],
    ids=[
        "no-input",
        "no-model",
        "profile",
        "dtype",
        "setting",
        "released-model-offline",
        "evidence-top",
        "threshold",
        "top-n",
    ],
)
def test_errors_are_reported_before_any_work(
    rows: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    arguments = [rows if word == "IN" else word for word in words]
    done = prism("rerank", *arguments, "-o", "out.jsonl")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert not Path("out.jsonl").exists()


def test_evidence_limits_of_the_project_apply_only_with_evidence(
    rows: Path, tiny_reranker: Path
) -> None:
    Path("prism.toml").write_text("[rerank]\nevidence_top = 1\nthreshold = 0\ntop_n = 1\n")
    words = ("rerank", rows, "-o", "out.jsonl", "--model", tiny_reranker, "--max-new-tokens", "4")
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    _, ranking = read(Path("out.jsonl"))
    (result,) = ranking["results"]  # type: ignore[misc]
    assert result["evidence_omitted"] is None
    done = prism(*words, "--no-evidence", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "settings without effect: evidence_top, threshold" in done.stderr
    done = prism(*words, "--set", "evidence=false", "--max-evidence-tokens", "9", "--overwrite")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("rerank {} --model st:minilm", "st:minilm is a sentence-transformers model"),
        ("rerank {} --model=voyage/rerank-2.5", "is a reranker of a provider, for --teacher"),
        (
            "train {} --model extractive",
            "for --generator of prism distill, --generator of prism rewrite-queries",
        ),
        ("export st:minilm", "MODEL st:minilm: expected a run directory"),
        (
            "eval {} --model source",
            "source is the rows' own label and texts, for --teacher of prism distill",
        ),
    ],
)
def test_a_model_of_another_kind_is_refused_with_an_example_that_works(
    rows: Path, command: str, message: str
) -> None:
    done = prism(*command.format(rows).split())
    assert done.returncode == 2
    assert message in done.stderr
    assert "For example: prism " in done.stderr


def _rows_of(*queries: str) -> bytes:
    return jsonl([{"query": query, "document": "A cow."} for query in queries])


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the state of out.jsonl in `prism status` at each loading of a model."""
    states: list[str] = []

    def noting(*arguments: Any) -> RerankRuntime:
        states.extend(status.state for status in read_statuses(find_outputs([Path("out.jsonl")])))
        return load_runtime(*arguments)

    monkeypatch.setattr("prism_cli.reranker.load_runtime", noting)
    return states


def test_the_model_is_loaded_after_the_output_is_locked_and_status_shows_the_run(
    rows: Path, tiny_reranker: Path, loads: list[str]
) -> None:
    words = ("rerank", rows, "-o", "out.jsonl", "--model", tiny_reranker, "--no-evidence")
    loading = f"loading {tiny_reranker} …\n"
    done = prism(*words)
    assert done.returncode == 0
    assert loads == ["running"]
    assert done.stderr.count(loading) == 1
    again = prism(*words).stderr
    assert "nothing to do" in again
    assert loading not in again
    assert prism(*words, "--max-tokens", "99").returncode == 2
    assert loads == ["running"]


def test_no_model_is_loaded_for_an_output_of_another_run_or_for_no_row(
    rows: Path, tiny_reranker: Path, loads: list[str]
) -> None:
    words = ("-o", "out.jsonl", "--model", tiny_reranker, "--no-evidence")
    with output_lock(Path("out.jsonl")):
        assert prism("rerank", rows, *words).returncode == 75
    rows.write_bytes(jsonl([{"document": "A cow."}]))
    done = prism("rerank", rows, *words)
    assert done.returncode == 4
    assert "1 of 1 row rejected" in done.stderr
    assert loads == []


def test_no_model_is_loaded_for_queries_spread_over_two_files(
    tiny_reranker: Path, loads: list[str]
) -> None:
    Path("shards").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        Path("shards", name).write_bytes(_rows_of("one query"))
    assert prism("rerank", "shards", "-o", "out", "--model", tiny_reranker).returncode == 2
    assert loads == []


def test_every_setting_goes_to_the_model_or_to_the_ranking() -> None:
    used = signature(Reranker).parameters.keys() | {field.name for field in fields(RankOptions)}
    assert {field.name for field in fields(RerankConfig)} - used == {"seed"}
