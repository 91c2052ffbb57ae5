"""Long documents in windows, on a tiny random model: the numbers are those of the slices."""

import os
import shutil
import signal
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli import Reranker
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.adapters.runtimes.windowed import WindowedReranker
from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.modeling.model_dir import write_profile
from prism_cli.mteb import PrismReranker, _documents
from prism_cli.ports import Reply, RerankTask, SplitsDocuments, rerank_request
from tests.door import prism
from tests.factories import jsonl, read_jsonl

QUERY = "what drives the mill?"
SHORT = "Steam drives the mill."
LONG = "\n\n".join(
    f"Part {number} of the story. Steam drives mill {number}. A cow is on the meadow."
    for number in range(40)
)
OTHER = "The river runs through the town. It is wide and slow. " * 30


@pytest.fixture(scope="module")
def inner(tiny_reranker: Path) -> TransformersReranker:
    return load_reranker(str(tiny_reranker), device="cpu", max_tokens=260, batch_tokens=400)


@pytest.fixture
def ours(inner: TransformersReranker) -> WindowedReranker:
    return WindowedReranker(inner)


def planned(ours: WindowedReranker, tasks: list[RerankTask]) -> list[Reply]:
    replies: dict[int, Reply] = {}
    for batch in ours.plan(tasks):
        replies |= zip(batch, ours.answer([tasks[row] for row in batch]), strict=True)
    return [replies[row] for row in range(len(tasks))]


def test_the_logit_is_the_best_of_those_of_the_slices(
    ours: WindowedReranker, inner: TransformersReranker
) -> None:
    (reply,) = ours.answer([RerankTask(QUERY, LONG)])
    value = reply.value
    spans = {(start, end): logit for start, end, logit in value["best_windows"]}
    assert value["windows"] == len(spans) > 3
    assert not value["truncated"]
    for (start, end), logit in spans.items():
        direct = inner.answer([RerankTask(QUERY, LONG[start:end])])[0].value
        assert direct["logit"] == pytest.approx(logit, abs=1e-5)
        assert not direct["truncated"]
    assert value["logit"] == max(spans.values()) == spans[tuple(value["best_window"])]
    assert "".join(LONG[start:end] for start, end in sorted(spans)).count("Part 39 of") >= 1
    assert min(spans)[0] == 0
    assert max(end for _, end in spans) == len(LONG)


def test_batched_documents_have_the_values_of_single_ones(ours: WindowedReranker) -> None:
    tasks = [
        RerankTask(query, document, 6, -inf)
        for query in (QUERY, "where is the cow?")
        for document in (LONG, SHORT, OTHER, LONG + OTHER, "A cow.")
    ]
    batches = ours.plan(tasks)
    assert sorted(row for batch in batches for row in batch) == list(range(len(tasks)))
    assert ours.plan(tasks) == batches
    replies = planned(ours, tasks)
    for task, reply in zip(tasks, replies, strict=True):
        (single,) = ours.answer([task])
        assert single.value["logit"] == pytest.approx(reply.value["logit"], abs=1e-5)
        for name in ("windows", "best_window", "text", "texts"):
            assert single.value.get(name) == reply.value.get(name)
        assert single.usage == reply.usage
    assert planned(ours, tasks) == replies


def test_windows_of_several_documents_share_batches(
    ours: WindowedReranker, inner: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    answer = inner.answer
    monkeypatch.setattr(inner, "answer", lambda tasks: (calls.append(len(tasks)), answer(tasks))[1])
    tasks = [RerankTask(QUERY, OTHER + word) for word in ("one", "two", "three")]
    planned(ours, tasks)
    assert calls[0] > ours.answer([tasks[0]])[0].value["windows"]


def test_a_document_that_fits_has_the_key_and_the_value_of_the_runtime(
    ours: WindowedReranker, inner: TransformersReranker
) -> None:
    task = RerankTask(QUERY, f"Mill {SHORT}", 5, -inf, body=5)
    assert rerank_request(ours, task).key == rerank_request(inner, task).key
    assert ours.answer([task]) == inner.answer([task])
    assert ours.plan([task]) == inner.plan([task])
    long = RerankTask(QUERY, LONG)
    narrow = WindowedReranker(inner, 40)
    keys = {rerank_request(one, long).key for one in (ours, inner, narrow)}
    assert len(keys) == 3
    assert rerank_request(narrow, task).key == rerank_request(inner, task).key
    assert narrow.answer([long])[0].value["windows"] > ours.answer([long])[0].value["windows"]


def test_a_model_states_its_window_and_an_option_overrides_it(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    stated = shutil.copytree(tiny_reranker, tmp_path / "model")
    write_profile(stated, PRISM_NO_THINK, defaults=ModelDefaults(48))
    middle = "Steam drives the mill. " * 8  # 66 tokens
    documents = [SHORT, middle, LONG]
    options: dict[str, Any] = {"warn": False, "device": "cpu", "max_tokens": 2_000}

    def windows(model: Path, **more: Any) -> list[int | None]:
        results = Reranker(str(model), **options | more).rank(QUERY, documents, evidence=False)
        by_index = {result["index"]: result.get("windows") for result in results}
        return [by_index[index] for index in range(len(documents))]

    assert windows(tiny_reranker) == [None] * 3
    short, two, long = windows(stated)
    assert (short, two, (long or 0) > 20) == (None, None, True)
    short, two, long_again = windows(stated, window_tokens=48)
    assert (short, two, long_again) == (None, 2, long)
    assert 1 < (windows(stated, window_tokens=400)[-1] or 0) < 6
    assert (
        windows(stated, max_tokens=170)[1:] == windows(stated, window_tokens=48, max_tokens=170)[1:]
    )
    assert windows(stated, long_documents="cut") == [None] * 3


def test_the_score_of_a_titled_document_is_that_of_rank(ours: WindowedReranker) -> None:
    title = "Mills of the valley"
    reranker = Reranker(ours)
    text, body = f"{title} {OTHER}".strip(), len(title) + 1
    (ranked,) = reranker.rank(QUERY, [{"title": title, "text": OTHER.strip()}], evidence=False)
    request = reranker.request(QUERY, text, body)
    logit = pytest.approx(ranked["logit"], abs=1e-5)  # rounded in results
    assert ours.answer([request.payload])[0].value["logit"] == logit
    ((_, (reply,)),) = [zip(*batch, strict=True) for batch in reranker.replies([(QUERY, text)])]
    assert reply.value["logit"] != logit
    batch = {"text": [text, OTHER], "title": [title, ""], "body": [OTHER, OTHER]}
    assert list(_documents(batch)) == [(text, body), (OTHER, 0)]
    assert list(_documents({"text": [text]})) == [(text, 0)]
    ((_, (reply,)),) = [
        zip(*batch, strict=True) for batch in reranker.replies([(QUERY, text)], [body])
    ]
    assert reply.value["logit"] == logit


def test_drafts_change_no_text_of_a_window(
    ours: WindowedReranker, inner: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = RerankTask(QUERY, LONG, 12, -inf)
    before = inner.writer.passes.passes
    (drafted,) = ours.answer([task])
    passes = inner.writer.passes.passes - before
    assert inner.writer._drafts
    monkeypatch.setattr(inner.writer, "_drafts", False)
    (plain,) = ours.answer([task])
    assert drafted.value["texts"] == plain.value["texts"]
    assert drafted.usage == plain.usage
    assert passes <= inner.writer.passes.passes - before - passes


def test_mteb_scores_a_long_document_by_its_best_window(tiny_reranker: Path) -> None:
    options: dict[str, Any] = {"max_tokens": 260, "warn": False}
    model = PrismReranker(str(tiny_reranker), None, "cpu", **options)
    texts = [{"text": [f"Mill {LONG}", SHORT], "title": ["Mill", ""], "body": [LONG, SHORT]}]
    settings: dict[str, Any] = {"task_metadata": None, "hf_split": "test", "hf_subset": "default"}
    scores = model.predict([{"text": [QUERY] * 2}], texts, **settings, show_progress_bar=False)
    rank = Reranker(str(tiny_reranker), device="cpu", **options).rank
    results = rank(QUERY, [{"title": "Mill", "text": LONG}, SHORT], evidence=False)
    expected = {result["index"]: result["logit"] for result in results}
    assert list(scores) == pytest.approx([expected[0], expected[1]], abs=1e-4)
    assert [result.get("windows", 1) > 3 for result in results].count(True) == 1


@pytest.mark.parametrize("bad", ['"\\u0000"', '"\\ud800"'], ids=["nul", "surrogate"])
@pytest.mark.parametrize("field", ["query", "document", "title"])
def test_rows_with_characters_that_are_no_text_are_rejected_and_named(
    tiny_reranker: Path, tmp_path: Path, field: str, bad: str
) -> None:
    source = tmp_path / "in.jsonl"
    row = {"query": QUERY, "document": LONG, "title": "Mill"}
    line = orjson.dumps(row | {field: "@"}).decode().replace('"@"', bad)
    source.write_bytes(jsonl([{"query": QUERY, "document": LONG}]) + line.encode() + b"\n")
    done = prism(*rerank(tiny_reranker, source, tmp_path, "--max-rejects", "1"))
    assert done.returncode == 0, done.stderr
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 1
    (reject,) = read_jsonl(tmp_path / "out.jsonl.rejects.jsonl")
    assert reject["line"] == 2
    assert field in str(reject["field"]) or field in str(reject)


def test_query_and_json_show_the_windows_of_a_document(tiny_reranker: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl([{"title": "Mill", "document": LONG}, {"document": SHORT}]))
    options = ["--max-tokens", "260", "--max-new-tokens", "6", "--threshold", "0.01", "-q"]
    words = ["rerank", "--query", QUERY, source, "--model", tiny_reranker, "--device", "cpu"]
    done = prism(*map(str, words), *options, "--json")
    assert done.returncode == 0, done.stderr
    results = {result["index"]: result for result in orjson.loads(done.stdout)["results"]}
    start, end = results[0]["best_window"]
    assert 0 <= start < end <= len(LONG)
    assert results[0]["windows"] > 3
    assert "windows" not in results[1]
    for result in results.values():
        assert result["evidence_origin"] == "extracted"
        source_text = (LONG, SHORT)[result["index"]]
        for one in result["citations"]:
            cited = source_text if one["field"] == "document" else "Mill"
            cited = cited[one["source_start"] : one["source_end"]]
            assert cited == result["evidence"][one["start"] : one["end"]]
    shown = prism(*map(str, words), *options, "--pretty")
    assert f"read in {results[0]['windows']} windows" in " ".join(shown.stdout.split())


def test_prompts_of_a_long_document_are_those_of_its_windows(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    rows = [{"query": QUERY, "document": SHORT}, {"query": QUERY, "title": "T", "document": LONG}]
    source.write_bytes(jsonl(rows))
    words = ["rerank", source, "--model", tiny_reranker, "--max-tokens", "260", "--print-prompts"]
    done = prism(*map(str, words))
    assert done.returncode == 0, done.stderr
    short, *parts = map(orjson.loads, done.stdout.splitlines())
    assert list(short) == ["query_id", "doc_id", "prompt", "ids"]
    assert [part["windows"] for part in parts] == [len(parts)] * len(parts)
    for part in parts:
        start, end = part["window"]
        assert f"T {LONG[start:end]}" in part["prompt"]
        assert len(part["ids"]) <= 260
    assert (parts[0]["window"][0], parts[-1]["window"][1]) == (0, len(LONG))
    cut = prism(*map(str, words), "--long-documents", "cut")
    assert len(cut.stdout.splitlines()) == 2


def test_texts_are_written_best_first_up_to_the_limit_of_tokens(ours: WindowedReranker) -> None:
    (reply,) = ours.answer([RerankTask(QUERY, LONG, 7, -inf)])
    (start, end, _), *others = reply.value["texts"]
    assert others == []
    assert [start, end] == reply.value["best_window"]
    assert reply.usage.output_tokens == 7
    spans = [tuple(span[:2]) for span in reply.value["best_windows"]]
    chosen = (spans[2], spans[0])
    (again,) = ours.answer([RerankTask(QUERY, LONG, 7, -inf, spans=chosen)])
    assert [tuple(text[:2]) for text in again.value["texts"]] == [spans[2]]
    above = reply.value["logit"] + 1
    (none,) = ours.answer([RerankTask(QUERY, LONG, 7, above)])
    assert "texts" not in none.value


def test_texts_of_several_windows_are_in_document_order(
    ours: WindowedReranker, inner: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = inner.answer

    def brief(tasks: list[RerankTask]) -> list[Reply]:
        return answer([task._replace(max_new_tokens=min(2, task.max_new_tokens)) for task in tasks])

    monkeypatch.setattr(inner, "answer", brief)
    (reply,) = ours.answer([RerankTask(QUERY, LONG, 6, -inf)])
    texts = [tuple(text[:2]) for text in reply.value["texts"]]
    best = [tuple(span[:2]) for span in reply.value["best_windows"]]
    assert texts == sorted(best[:3])
    assert reply.usage.output_tokens == 6


def test_a_short_title_is_read_with_each_window_and_a_long_one_once(
    ours: WindowedReranker, inner: TransformersReranker
) -> None:
    title = "Mills of the valley "
    task = RerankTask(QUERY, title + OTHER, body=len(title))
    value = ours.answer([task])[0].value
    for start, end, logit in value["best_windows"]:
        assert start >= len(title)
        part = RerankTask(QUERY, title + task.document[start:end])
        assert inner.answer([part])[0].value["logit"] == pytest.approx(logit, abs=1e-5)
        assert not inner.answer([part])[0].value["truncated"]
    long_title = SHORT * 12 + " "
    titled = RerankTask(QUERY, long_title + OTHER, body=len(long_title))
    plain = RerankTask(QUERY, long_title + OTHER)
    assert ours.answer([titled])[0].value == ours.answer([plain])[0].value


@pytest.mark.parametrize(
    "document",
    [
        "x1" * 4_000,
        "<evidence></evidence>" * 400,
        "e\u0301\u0302" * 900,
        "文書。" * 900,
        "\U0001f469\u200d\U0001f52c" * 300,
        "a" + " " * 5_000 + "\nb",
        "\U0001d160" * 300,
        "word " * 2_000,
    ],
    ids=["one line", "tags", "marks", "chinese", "emoji", "spaces", "decomposed", "words"],
)
def test_no_window_of_an_odd_document_is_cut(
    ours: WindowedReranker, inner: TransformersReranker, document: str
) -> None:
    task = RerankTask(QUERY, document)
    spans = ours._splitter.windows(task)
    ends = [0, *(end for _, end in spans)]
    assert all(
        start <= end or not document[end:start].strip()
        for (start, _), end in zip(spans, ends, strict=False)
    )
    prompts = inner.encoder.encode_batch([(QUERY, document[slice(*span)]) for span in spans])
    assert not any(prompt.truncated for prompt in prompts)
    assert len(spans) > 1 or document[0] == "a"


def test_documents_that_cannot_be_split_go_to_the_runtime(
    ours: WindowedReranker, inner: TransformersReranker
) -> None:
    for task in (
        RerankTask("why " * 400, LONG),
        RerankTask(QUERY, LONG + "\ud800"),
        RerankTask("why " * 130, LONG),
    ):
        assert ours.answer([task]) == inner.answer([task])
        assert ours.split_key(task) == ""


def test_thousands_of_documents_of_a_query_are_planned(ours: WindowedReranker) -> None:
    tasks = [
        RerankTask(QUERY, f"{number} {SHORT if number % 30 else LONG}") for number in range(3_000)
    ]
    batches = ours.plan(tasks)
    assert sorted(row for batch in batches for row in batch) == list(range(3_000))
    long = [batch for batch in batches if not batch[0] % 30]
    assert sum(map(len, long)) == 100


def test_the_python_object_reads_in_windows_unless_told_to_cut(tiny_reranker: Path) -> None:
    options: dict[str, Any] = {"warn": False, "device": "cpu", "max_tokens": 260}
    windowed = Reranker(str(tiny_reranker), **options)
    cut = Reranker(str(tiny_reranker), long_documents="cut", **options)
    assert isinstance(windowed.runtime, SplitsDocuments)
    assert isinstance(cut.runtime, WindowedReranker)
    assert cut.runtime.cut
    entry = {"title": "Mill", "text": LONG}
    (result,) = windowed.rank(QUERY, [entry], threshold=0.0, max_new_tokens=4)
    (joint,) = windowed.rank(QUERY, [entry], threshold=0.0, max_new_tokens=4, top_n=1)
    assert result == joint
    assert result["windows"] > 3
    assert not result["truncated"]
    start, end = result["best_window"]
    assert 0 <= start < end <= len(LONG)
    assert windowed.score([(QUERY, f"Mill {LONG}")])[0] > 0
    (beginning,) = cut.rank(QUERY, [entry], evidence=False)
    assert beginning["truncated"]
    assert "windows" not in beginning
    assert windowed.rank(QUERY, [entry], long_documents="cut", evidence=False) == [beginning]
    (again,) = cut.rank(QUERY, [entry], long_documents="window", evidence=False)
    assert again["best_window"] == result["best_window"]
    assert Reranker(windowed.runtime).runtime is windowed.runtime
    with pytest.raises(ValueError, match="long_documents: expected window or cut, found 'all'"):
        windowed.rank(QUERY, [entry], long_documents="all")


def rerank(model: Path, source: Path, folder: Path, *more: str) -> list[str]:
    """Return the words of a command that reads documents of up to 120 tokens at once."""
    words = ["rerank", source, "-o", folder / "out.jsonl", "--model", model, "--device", "cpu"]
    limits = ["--max-tokens", "260", "--batch-tokens", "400", "--max-new-tokens", "6"]
    return [*map(str, words), *limits, "--threshold", "0.01", "-q", "--json", *more]


def test_a_long_document_is_finished_after_a_kill_with_the_same_bytes(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    rows = [{"query": QUERY, "document": one} for one in (LONG, SHORT, OTHER)]
    source.write_bytes(jsonl([*rows, {"query": QUERY, "documents": [SHORT, {"text": LONG}]}]))
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
    whole = prism(*rerank(tiny_reranker, source, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    figures = orjson.loads(whole.stdout)["figures"]
    assert (figures["truncated"], figures["long_documents"]) == (0, 3)
    killed = subprocess.run(
        [sys.executable, "-m", "prism_cli", *rerank(tiny_reranker, source, tmp_path / "killed")],
        env={**os.environ, "PRISM_CRASH_AT": "after-commit"},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = prism(*rerank(tiny_reranker, source, tmp_path / "killed"))
    assert resumed.returncode == 0, resumed.stderr
    content = (tmp_path / "whole" / "out.jsonl").read_bytes()
    assert (tmp_path / "killed" / "out.jsonl").read_bytes() == content
    out = [orjson.loads(line) for line in content.splitlines()]
    assert out[0]["windows"] > 3
    assert "windows" not in out[1]
    (result,) = [one for one in out[3]["results"] if "windows" in one]
    assert result["best_window"] == out[0]["best_window"]


def test_an_output_of_an_earlier_version_is_finished_unless_documents_were_cut(
    tiny_reranker: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(jsonl([{"query": QUERY, "document": one} for one in (LONG, SHORT)]))
    cut = prism(*rerank(tiny_reranker, source, tmp_path, "--long-documents", "cut"))
    assert cut.returncode == 0, cut.stderr
    first, _ = read_jsonl(tmp_path / "out.jsonl")
    assert first["truncated"] is True
    assert "windows" not in first
    manifest = tmp_path / "out.jsonl.manifest.json"
    content = orjson.loads(manifest.read_bytes())
    assert content["config"].pop("long_documents") == "cut"
    assert "window_tokens" not in content["config"]
    manifest.write_bytes(orjson.dumps(content))
    again = prism(*rerank(tiny_reranker, source, tmp_path, "--long-documents", "cut"))
    assert again.returncode == 0, again.stderr
    windowed = prism(*rerank(tiny_reranker, source, tmp_path))
    assert windowed.returncode == 2
    assert "long_documents: was 'cut', is not set" in windowed.stderr
    content["figures"]["truncated"] = 0
    manifest.write_bytes(orjson.dumps(content))
    finished = prism(*rerank(tiny_reranker, source, tmp_path))
    assert finished.returncode == 0, finished.stderr
    assert orjson.loads(finished.stdout)["finished_before"]
