"""`Reranker` against what `prism rerank` writes, on a tiny random model."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from prism_cli import Reranker
from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.errors import ArgumentError, PrismError, RowError
from prism_cli.modeling.model_dir import write_profile
from tests.door import prism
from tests.factories import jsonl, read_jsonl

QUERIES = ["capital of France?", "what drives the mill"]
DOCUMENTS: list[Any] = [
    "Paris is the capital of France.",
    {"text": "The river is in the town.", "title": "River"},
    "Steam drives the mill.",
    {"doc_id": "b", "text": "A cow. <|im_end|>"},
    {"doc_id": "a", "text": "A cow. <|im_end|>"},
    "",
]
ROWS = [{"query": query, "documents": DOCUMENTS} for query in QUERIES]
SETTINGS = {"max_tokens": 160, "batch_tokens": 64, "device": "cpu"}
WORDS = ("--max-tokens", "160", "--batch-tokens", "64", "--device", "cpu", "--max-new-tokens", "4")


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> Reranker:
    return Reranker(str(tiny_reranker), warn=False, **SETTINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"evidence": False, "top_n": 3},
        {"threshold": 0.295},
        {"threshold": 0.2, "max_evidence_tokens": 10, "top_n": 5},
        {"threshold": 0.0, "evidence_top": 2},
    ],
    ids=["plain", "scores", "threshold", "tokens", "top"],
)
def test_rank_equals_the_output_of_the_command(
    tiny_reranker: Path, reranker: Reranker, options: dict[str, Any]
) -> None:
    (written,) = by_command(tiny_reranker, ROWS[:1], options)
    ours = reranker.rank(QUERIES[0], DOCUMENTS, **options, max_new_tokens=4)
    assert orjson.dumps(ours) == orjson.dumps(written)
    if "max_evidence_tokens" in options:
        reasons = [our["evidence_omitted"] for our in ours]
        assert {None, "max_evidence_tokens"} <= set(reasons)


def test_the_weight_that_a_model_states_orders_documents_of_a_first_stage(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    stated = tmp_path / "stated"
    shutil.copytree(tiny_reranker, stated)
    write_profile(stated, PRISM_NO_THINK, defaults=ModelDefaults(fuse=1))
    documents = [
        {"text": text, "source_score": score}
        for text, score in (("A cow.", 3), ("Paris is in France.", 9), ("A mill.", 5))
    ]
    (written,) = by_command(stated, [{"query": QUERIES[0], "documents": documents}], {})
    model = Reranker(str(stated), warn=False, **SETTINGS)  # type: ignore[arg-type]
    ours = model.rank(QUERIES[0], documents, max_new_tokens=4)
    assert orjson.dumps(ours) == orjson.dumps(written)
    assert [one["index"] for one in ours] == [1, 2, 0]
    alone = model.rank(QUERIES[0], documents, fuse=0, max_new_tokens=4)
    assert [one["relevance_score"] for one in alone] == sorted(
        (one["relevance_score"] for one in ours), reverse=True
    )


def test_scores_of_a_first_stage_may_be_of_numpy_and_must_be_finite(reranker: Reranker) -> None:
    def fused(*scores: Any, fuse: Any = 1) -> list[int]:
        documents = [{"text": f"text {at}", "source_score": one} for at, one in enumerate(scores)]
        results = reranker.rank(QUERIES[0], documents, evidence=False, fuse=fuse)
        return [one["index"] for one in results]

    assert fused(np.float64(1), np.float32(3), np.int64(2)) == [1, 2, 0]
    assert fused(1, 3, 2, fuse="1") == [1, 2, 0]
    for wrong in (float("-inf"), float("nan"), 10**400):
        with pytest.raises(ArgumentError, match=r"documents\[1\].source_score: expected a finite"):
            fused(1.0, wrong)


def test_several_queries_equal_the_output_of_the_command(
    tiny_reranker: Path, reranker: Reranker
) -> None:
    """Other batches may change the last decimal; the same rows in the same window do not."""
    options: dict[str, Any] = {"threshold": 0.2, "max_evidence_tokens": 10}
    ours = reranker.rank_many(
        [(query, DOCUMENTS) for query in QUERIES], **options, max_new_tokens=4
    )
    assert orjson.dumps(ours) == orjson.dumps(by_command(tiny_reranker, ROWS, options))


def by_command(model: Path, rows: list[dict[str, Any]], options: dict[str, Any]) -> list[Any]:
    Path("in.jsonl").write_bytes(jsonl(rows))
    words = [
        word for name, value in options.items() for word in ("--set", f"{name}={value}".lower())
    ]
    done = prism("rerank", "in.jsonl", "-o", "out.jsonl", "--model", model, *WORDS, *words)
    assert done.returncode == 0, done.stderr
    return [row["results"] for row in read_jsonl(Path("out.jsonl"))]


def test_score_is_that_of_rank(reranker: Reranker) -> None:
    pairs = [(query, text) for text in ("Steam.", "A cow.") for query in QUERIES]
    expected = {
        (query, text): result["relevance_score"]
        for query in QUERIES
        for text in ("Steam.", "A cow.")
        for result in reranker.rank(query, [text], evidence=False)
    }
    assert reranker.score(pairs) == pytest.approx([expected[pair] for pair in pairs], abs=2e-6)
    assert reranker.score([("q", " \u200b"), pairs[0]]) == [0.0, reranker.score(pairs)[0]]
    with pytest.raises(RowError, match="document: expected text"):
        reranker.request("q", "\u200b")  # in an evaluation it follows all scored ones
    with pytest.raises(RowError, match="query: expected text"):
        reranker.request("\u200b", "a")
    for pair, message in ((("\u2060", "a"), "query: expected text"), (("q", "\ud800"), "half of")):
        with pytest.raises(ArgumentError, match=message):
            reranker.score([pairs[0], pair])
    assert reranker.score([]) == []
    assert reranker.rank("q", []) == []
    assert reranker.rank_many([]) == []


def test_concurrent_calls_are_serialized(reranker: Reranker) -> None:
    def work(query: str) -> object:
        return reranker.rank(query, DOCUMENTS, max_new_tokens=4)

    expected = [work(query) for query in QUERIES * 3]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, QUERIES * 3)) == expected


@pytest.mark.parametrize(
    ("query", "documents", "options", "message"),
    [
        ("word " * 200, ["a"], {}, "query: .*'word word"),
        (" ", ["a"], {}, "blank"),
        ("\u200b\u00ad", ["a"], {}, "query: expected text, found a blank string"),
        ("\u3164", [], {}, "blank"),
        ("a\0", ["a"], {}, "query: a NUL"),
        ("\ud800", ["a"], {}, "query: half of a surrogate pair"),
        ("q", ["a", "\udfff"], {}, r"documents\[1\]: half of a surrogate pair at offset 0"),
        ("q", [{"text": "a", "title": "\0"}], {}, r"documents\[0\].title: a NUL"),
        ("q", ["a", {"title": "t"}], {}, r"documents\[1\].text: expected a string"),
        ("q", [3], {}, r"documents\[0\]: expected a string or an object, found number 3"),
        ("q", "a", {}, "found a single one"),
        ("q", {"text": "a"}, {}, "found a single one"),
        ("q", ["a"], {"top_n": 0}, "top_n: expected 1 or more, found 0"),
    ],
    ids=[
        "long",
        "blank",
        "unseen",
        "filler",
        "nul",
        "half",
        "half-document",
        "nul-title",
        "no-text",
        "number",
        "string",
        "mapping",
        "top_n",
    ],
)
def test_invalid_input_raises_value_error(
    reranker: Reranker, query: str, documents: Any, options: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        reranker.rank(query, documents, **options)
    assert isinstance(caught.value, PrismError)


def test_a_model_that_fails_the_sanity_pair_is_warned_about(
    tiny_reranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"relevant": 0.2, "irrelevant": 0.9, "ok": False}
    monkeypatch.setattr("prism_cli.reranker.canary_scores", lambda _: scores)
    with pytest.warns(UserWarning, match=r"relevant pair scores 0\.2, an irrelevant one 0\.9"):
        Reranker(str(tiny_reranker))
    Reranker(str(tiny_reranker), warn=False)


def test_unknown_engine_is_named() -> None:
    with pytest.raises(ArgumentError, match="engine 'tgi': unknown; one of transformers"):
        Reranker("hf:smollm2", engine="tgi")


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys\nimport prism_cli\n"
        "assert 'Reranker' in prism_cli.__all__\n"
        "loaded = {name for name in sys.modules if name.startswith('prism_cli')}\n"
        "assert loaded == {'prism_cli', 'prism_cli.version'}, loaded\n"
        "prism_cli.Reranker\n"
        "assert 'torch' not in sys.modules\n"
        "assert not hasattr(prism_cli, 'reranked')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_run_killed_between_scores_and_texts_resumes(tiny_reranker: Path, tmp_path: Path) -> None:
    rows = [
        {"query": query, "document": text}
        for query in QUERIES
        for text in ("Paris.", "Steam drives the mill.", "A cow.")
    ]
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl(rows))
    limits = ("--threshold", "0.1", "--max-evidence-tokens", "9", "--top-n", "2", "-q")

    def words(folder: str) -> list[str]:
        out = tmp_path / folder / "out.jsonl"
        out.parent.mkdir(exist_ok=True)
        arguments = [
            "rerank",
            source,
            "-o",
            out,
            "--model",
            tiny_reranker,
            *WORDS,
            *limits,
            "--json",
        ]
        return list(map(str, arguments))

    uninterrupted = prism(*words("whole"))
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    killed = subprocess.run(
        [sys.executable, "-m", "prism_cli", *words("killed")],
        env={**os.environ, "PRISM_CRASH_AT": "after-commit"},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed" / "out.jsonl").exists()
    resumed = prism(*words("killed"))
    assert resumed.returncode == 0, resumed.stderr
    name = "out.jsonl"
    content = (tmp_path / "killed" / name).read_bytes()
    assert content == (tmp_path / "whole" / name).read_bytes()
    first, second = (orjson.loads(done.stdout) for done in (uninterrupted, resumed))
    assert second["usage"]["from_ledger"] == 6, "the scores"
    assert second["usage"]["asked"] == first["usage"]["asked"] - 6 > 0
    assert second["figures"] == first["figures"]
    assert second["counts"] == first["counts"]
    assert first["counts"]["dropped"] == {"behind the best 2 of its query": 2}
    assert first["figures"]["evidence"]["tokens_kept"] <= 9 * len(QUERIES)


def test_vllm_chooses_device_and_batches_itself() -> None:
    with pytest.raises(ArgumentError, match="engine vllm chooses device, batch_tokens itself"):
        Reranker("hf:smollm2", engine="vllm", device="cpu", batch_tokens=9)
