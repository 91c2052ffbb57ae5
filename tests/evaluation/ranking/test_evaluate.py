"""The fold on a small real set: what it writes, resumes, refuses; models are scripted."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from numpy import float32

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage
from prism_cli.domain.metrics import query_values, ranked
from prism_cli.engine.progress import Progress
from prism_cli.errors import (
    ChangedInputError,
    InterruptedRunError,
    LimitReachedError,
    LockedError,
    MissingDataError,
    RowError,
    UsageError,
)
from prism_cli.evaluation.metrics_file import PublishedMetrics
from prism_cli.evaluation.ranking.evaluate import evaluate
from prism_cli.evaluation.ranking.plan import EvalModel, EvalOptions, EvalSet
from prism_cli.evaluation.ranking.reranking import MakeRequest
from prism_cli.ports import Reply, Request, request
from prism_cli.shards.lock import output_lock
from tests.mini import MINI


@dataclass(eq=False)
class Overlap:
    """A model whose logit is the count of shared words, times `sign`."""

    sign: float = 1.0
    spec: str = "fake:overlap"
    refuse: str = "\0"
    asked: list[tuple[str, str]] = field(default_factory=list)
    before_batch: Callable[[int], None] = lambda number: None
    batches: int = 0

    @property
    def fingerprint(self) -> str:
        return f"overlap {self.sign}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [
            list(range(start, min(start + 16, len(payloads))))
            for start in range(0, len(payloads), 16)
        ]

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        self.before_batch(self.batches)
        self.batches += 1
        self.asked += payloads
        return [
            Reply({}, refusal="too long")
            if self.refuse in document
            else Reply(
                {
                    "logit": self.sign
                    * len({*query.lower().split()} & {*document.lower().split()}),
                    "truncated": len(document) > 700,
                }
            )
            for query, document in payloads
        ]

    def ask(self, query: str, document: str, body: int = 0) -> Request:
        return request(self, (query, document), query, document)

    def load(self) -> MakeRequest:
        return self.ask


def model(backend: Overlap, name: str = "overlap") -> EvalModel:
    return EvalModel(name, backend.fingerprint, backend.load)


def mini() -> EvalSet:
    data = BeirSet(MINI)
    return EvalSet(data, Bm25FirstStage(data.texts))


def run(
    *models: EvalModel, sets: Sequence[EvalSet] | None = None, **changed: Any
) -> PublishedMetrics:
    options = {"output": Path("out"), "top_k": 10, "quiet": True} | changed
    options["config"] = {"top_k": options["top_k"]}
    return evaluate(sets or [mini()], models, EvalOptions(**options))


def trec(path: Path) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for line in path.read_text().splitlines():
        query_id, _, doc_id, _, score, _ = line.split(" ")
        found.setdefault(query_id, []).append((doc_id, float(score)))
    return found


def test_first_stage_alone_writes_measures_and_a_run() -> None:
    summary = run()
    assert not summary.finished_before
    saved = json.loads(Path("out/metrics.json").read_text())
    assert saved == summary.metrics
    ranking = saved["ranking"]["mini"]["bm25"]
    data = BeirSet(MINI)
    queries = [query_id for query_id, _ in data.judged_queries("test")]
    again = query_values(
        data.qrels("test"), trec(Path("out/runs/mini.bm25.trec")), queries, ["nDCG@10"]
    )
    assert ranking["nDCG@10"] == pytest.approx(sum(again["nDCG@10"]) / 64)
    assert 0.7 < ranking["nDCG@10"] < 0.97
    low, high = saved["statistics"]["intervals"]["mini"]["bm25"]["nDCG@10"]
    assert low < ranking["nDCG@10"] < high
    assert saved["statistics"]["comparisons"] == []


def test_run_keeps_logits_apart_that_single_precision_cannot_tell() -> None:
    class Confident(Overlap):
        def answer(self, payloads: Sequence[Any]) -> list[Reply]:
            place = {document: at for at, document in enumerate(sorted(d for _, d in payloads))}
            return [Reply({"logit": 40 + place[d] * 1e-6, "truncated": False}) for _, d in payloads]

        def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
            return [[*range(len(payloads))]]

    run(model(Confident()), limit=1)
    texts = dict(BeirSet(MINI).texts())
    (hits,) = trec(Path("out/runs/mini.overlap.trec")).values()
    order = [texts[doc_id] for doc_id, _ in ranked(hits)]
    assert len(order) == 10
    assert order == sorted(order, reverse=True)


def test_model_orders_exactly_the_candidates_of_the_first_stage() -> None:
    backend = Overlap()
    run(model(backend))
    first = trec(Path("out/runs/mini.bm25.trec"))
    second = trec(Path("out/runs/mini.overlap.trec"))
    assert {query: {doc for doc, _ in hits} for query, hits in first.items()} == {
        query: {doc for doc, _ in hits} for query, hits in second.items()
    }
    assert all(
        hits == sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)
        for hits in second.values()
    )
    for hits in second.values():  # many logits are equal, and none is for a reader of the run
        assert len({float32(score) for _, score in hits}) == len(hits)
    texts = dict(BeirSet(MINI).texts())
    assert {document for _, document in backend.asked} <= set(texts.values())


def test_systems_stand_side_by_side_with_paired_tests() -> None:
    content = run(model(Overlap(), "good"), model(Overlap(-1.0), "bad")).metrics
    ranking = content["ranking"]["mini"]
    assert list(ranking) == ["bm25", "good", "bad"]
    assert ranking["good"]["nDCG@10"] > ranking["bad"]["nDCG@10"] + 0.2
    assert ranking["good"]["R@10"] == ranking["bm25"]["R@10"]
    comparisons = {
        (one["system"], one["baseline"]): one for one in content["statistics"]["comparisons"]
    }
    assert set(comparisons) == {("good", "bm25"), ("bad", "bm25"), ("bad", "good")}
    worse = comparisons["bad", "good"]
    assert worse["p"] <= worse["p_holm"] < 0.001
    assert worse["difference"] == pytest.approx(
        ranking["bad"]["nDCG@10"] - ranking["good"]["nDCG@10"]
    )
    assert all(one["p_holm"] >= one["p"] for one in comparisons.values())


def test_equal_models_have_p_one() -> None:
    content = run(model(Overlap(), "one"), model(Overlap(), "two")).metrics
    same = [one for one in content["statistics"]["comparisons"] if one["baseline"] == "one"]
    assert [one["p"] for one in same] == [1.0]


def test_the_same_evaluation_in_two_folders_gives_the_same_bytes(tmp_path: Path) -> None:
    """Also where one of them was resumed: what was ranked before is read from its run."""
    models = [model(Overlap(), "good"), model(Overlap(-1.0), "bad")]
    run(*models, output=Path("one"))
    run(models[0], output=Path("state/two"))
    run(*models, output=Path("state/two"), overwrite=True, fresh=True)
    Path("state/two/metrics.json").unlink()
    run(*models, output=Path("state/two"))
    compared = [path.relative_to("one") for path in Path("one").rglob("*.trec")]
    compared += [path.relative_to("one") for path in Path("one/mteb").rglob("*.json")]
    assert len(compared) == 6
    for name in (*compared, "metrics.json", "report.html", "ndcg.svg", "per_query.jsonl"):
        assert Path("one", name).read_bytes() == Path("state/two", name).read_bytes(), name


def test_wins_ties_losses_and_unjudged_documents_are_counted() -> None:
    content = run(model(Overlap(-1.0), "bad")).metrics
    (one,) = content["statistics"]["comparisons"]
    assert one["win"] + one["tie"] + one["loss"] == one["queries"] == 64
    assert one["loss"] > one["win"]
    qrels = BeirSet(MINI).qrels("test")
    hits = trec(Path("out/runs/mini.bad.trec"))
    shares = [
        sum(doc not in qrels[query] for doc, _ in found[:10]) / len(found[:10])
        for query, found in hits.items()
    ]
    note = content["runs"]["mini"]["bad"]
    assert note["unjudged_share"] == pytest.approx(sum(shares) / len(shares))
    assert content["ranking"]["mini"]["bad"]["Judged@10"] == pytest.approx(
        1 - note["unjudged_share"]
    )


def test_queries_that_moved_most_are_shown_with_their_texts() -> None:
    content = run(model(Overlap(), "good"), model(Overlap(-1.0), "bad")).metrics
    examples = content["examples"]
    blocks = {(one["system"], one["baseline"]): one for one in examples["moved"]}
    assert list(blocks) == [("good", "bm25"), ("bad", "bm25"), ("bad", "good")]
    lost = blocks["bad", "bm25"]["lost"]
    assert len(lost) == 10
    falls = [one["before"] - one["after"] for one in lost]
    assert falls == sorted(falls, reverse=True)
    assert falls[-1] > 0
    worst = lost[0]
    assert worst["query"] == dict(BeirSet(MINI).judged_queries("test"))[worst["query_id"]]
    first = trec(Path("out/runs/mini.bm25.trec"))[worst["query_id"]]
    last = trec(Path("out/runs/mini.bad.trec"))[worst["query_id"]]
    assert worst["top_before"]["doc_id"] == first[0][0]
    assert worst["top_after"] == {"doc_id": last[0][0], "grade": None}
    (right,) = BeirSet(MINI).qrels("test")[worst["query_id"]]
    assert worst["best_judged"] == {
        "doc_id": right,
        "grade": 1,
        "rank_before": [doc for doc, _ in first].index(right) + 1,
        "rank_after": [doc for doc, _ in last].index(right) + 1,
    }
    texts = examples["texts"]["mini"]
    assert texts[right] == dict(BeirSet(MINI).texts())[right][:600]
    shown = {
        one[place]["doc_id"]
        for block in examples["moved"]
        for one in block["gained"] + block["lost"]
        for place in ("top_before", "top_after", "best_judged")
        if one[place]
    }
    assert texts.keys() == shown


def test_results_are_written_in_mtebs_shape() -> None:
    content = run(model(Overlap(), "hf:a/b")).metrics
    (path,) = Path("out/mteb/hf__a__b").glob("*/mini.json")
    saved = json.loads(path.read_text())
    (scores,) = saved.pop("scores")["test"]
    assert scores["languages"] == ["und-Zyyy"]  # mteb leaves out scores without one
    assert saved["evaluation_time"] is None
    ranking = content["ranking"]["mini"]["hf:a/b"]
    assert scores["main_score"] == scores["ndcg_at_10"] == round(ranking["nDCG@10"], 6)
    assert scores["map_at_10"] == round(ranking["AP"], 6)
    assert scores["recall_at_5"] == round(ranking["R@5"], 6)
    assert scores["mrr_at_10"] == round(ranking["RR@10"], 6)
    assert scores["precision_at_1"] == round(ranking["P@1"], 6)
    assert "ndcg_at_100" not in scores  # ten candidates a query do not fill it


def test_missing_sets_leave_it_unfinished_and_a_stop_in_between_does_no_harm(
    tmp_path: Path,
) -> None:
    other = tmp_path / "other-mini"
    other.mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels"):
        (other / name).symlink_to(MINI / name)
    second = BeirSet(other)
    both = [mini(), EvalSet(second, Bm25FirstStage(second.texts))]
    content = run(model(Overlap()), missing={"other-mini": "no host"}).metrics
    assert content["missing_sets"] == ["other-mini"]
    with pytest.raises(LimitReachedError):
        run(model(Overlap()), sets=both, max_seconds=0.0)
    again = Overlap()
    whole = run(model(again), sets=both)
    assert not whole.finished_before
    assert whole.metrics["missing_sets"] == []
    assert len(again.asked) == 0  # the same texts: their scores are in the ledger
    assert run(model(Overlap()), sets=both).finished_before
    with pytest.raises(ChangedInputError, match="other-mini"):
        run(model(Overlap()))


def test_second_run_finds_it_done_and_asks_nothing() -> None:
    first = run(model(Overlap()))
    backend = Overlap()
    second = run(model(backend))
    assert second.finished_before
    assert second.metrics == first.metrics
    assert not backend.asked


def test_another_model_may_join_and_what_was_finished_is_kept() -> None:
    run(model(Overlap(), "one"))
    old, new = Overlap(), Overlap(-1.0)
    with pytest.raises(ChangedInputError, match="model_fingerprints"):
        run(model(old, "one"), model(new, "two"))
    told: list[str] = []
    content = run(model(old, "one"), model(new, "two"), overwrite=True, tell=told.append).metrics
    assert list(content["ranking"]["mini"]) == ["bm25", "one", "two"]
    assert not old.asked
    assert new.asked
    assert told == ["mini: bm25 was finished before", "mini: one was finished before"]


def test_a_changed_model_is_not_taken_for_the_old_one() -> None:
    run(model(Overlap(), "same"))
    changed = Overlap(-1.0)
    with pytest.raises(ChangedInputError, match=r"model_fingerprints\.same"):
        run(model(changed, "same"))
    run(model(changed, "same"), overwrite=True)
    assert changed.asked


class Slow(Bm25FirstStage):
    """Prepares three pieces, and hears a signal after the second."""

    pieces = 0

    def size(self) -> int:
        return 3

    def prepare(self) -> Iterator[int]:
        for piece in range(3):
            self.pieces += 1
            if piece == 1:
                signal.raise_signal(signal.SIGTERM)
            yield 1


def test_first_stage_that_prepares_is_stopped_between_its_pieces() -> None:
    data = BeirSet(MINI)
    slow = Slow(data.texts)
    with pytest.raises(InterruptedRunError):
        run(sets=[EvalSet(data, slow)])
    assert slow.pieces == 2
    assert not list(Path("out/runs").glob("*"))


def test_stopped_in_the_middle_of_a_model_goes_on_with_the_same_numbers() -> None:
    expected = run(model(Overlap()), output=Path("whole")).metrics

    def stop(batch: int) -> None:
        if batch == 5:
            signal.raise_signal(signal.SIGTERM)

    stopped = Overlap(before_batch=stop)
    with pytest.raises(InterruptedRunError):
        run(model(stopped), output=Path("apart/out"))
    assert not Path("apart/out/metrics.json").exists()
    rest = Overlap()
    content = run(model(rest), output=Path("apart/out")).metrics
    assert content["ranking"] == expected["ranking"]
    assert content["statistics"] == expected["statistics"]
    assert len(stopped.asked) + len(rest.asked) == content["runs"]["mini"]["overlap"]["pairs"]
    papers = json.loads(Path("apart/out/metrics.json.manifest.json").read_text())
    assert papers["attempts"] == 2
    assert papers["finished"] is True


def test_progress_is_told_batch_by_batch_and_ends_at_the_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []
    monkeypatch.setattr(Progress, "advance", lambda _self, rows, _usd: told.append(rows))
    content = run(model(Overlap()), limit=8).metrics
    pairs = content["runs"]["mini"]["overlap"]["pairs"]
    assert told[:8] == [1] * 8  # queries of the first stage
    assert told[8] == 16
    assert sum(told[8:]) == pairs


def test_time_limit_stops_cleanly() -> None:
    with pytest.raises(LimitReachedError):
        run(model(Overlap()), max_seconds=0.0)
    assert not Path("out/metrics.json").exists()


def test_fresh_asks_again() -> None:
    run(model(Overlap()))
    backend = Overlap()
    run(model(backend), fresh=True, overwrite=True)
    assert backend.asked


def test_locked_output_is_refused() -> None:
    with output_lock(Path("out/metrics.json")), pytest.raises(LockedError):
        run()


def test_damaged_run_is_computed_again() -> None:
    run(model(Overlap()))
    path = Path("out/runs/mini.overlap.trec")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    Path("out/metrics.json").unlink()
    run(model(Overlap()))
    assert path.read_bytes() == whole


def test_a_run_of_an_earlier_version_is_used_if_its_counts_are_known_by_query() -> None:
    run(model(Overlap()), limit=4)
    path = Path("out/runs/mini.overlap.trec.json")
    note = json.loads(path.read_bytes())
    assert note["truncated"] > 0

    def is_used(**changes: Any) -> bool:
        path.write_text(json.dumps(note | changes))
        Path("out/metrics.json").unlink()
        told: list[str] = []
        run(model(Overlap()), limit=4, tell=told.append)
        return "mini: overlap was finished before" in told

    assert is_used(pairs=400)
    assert not is_used(long_queries={})


def test_limit_takes_the_first_judged_queries_in_file_order() -> None:
    run(limit=3)
    wanted = [query_id for query_id, _ in BeirSet(MINI).judged_queries("test")][:3]
    assert list(trec(Path("out/runs/mini.bm25.trec"))) == wanted


def test_candidates_that_cannot_be_scored_stand_last_in_their_old_order() -> None:
    first = run()
    run_of = trec(first.path.parent / "runs" / "mini.bm25.trec")
    texts = dict(BeirSet(MINI).texts())
    often = Counter(doc for hits in run_of.values() for doc, _ in hits)
    (too_long, _), (refused, _) = often.most_common(2)

    class Choosy(Overlap):
        def ask(self, query: str, document: str, body: int = 0) -> Request:
            if document == texts[too_long]:
                raise RowError("query", "longer than the model takes")
            return super().ask(query, document)

    content = run(model(Choosy(refuse=texts[refused])), output=Path("other")).metrics
    note = content["runs"]["mini"]["overlap"]
    assert note["unscored"] == often[too_long] + often[refused]
    assert note["truncated"] > 0
    for query_id, hits in trec(Path("other/runs/mini.overlap.trec")).items():
        order = [doc for doc, _ in ranked(hits)]
        behind = [doc for doc, _ in run_of[query_id] if doc in (too_long, refused)]
        assert order[len(order) - len(behind) :] == behind


def test_run_file_as_first_stage_counts_missing_queries_as_zero(tmp_path: Path) -> None:
    data = BeirSet(MINI)
    (query_id, _), *_ = data.judged_queries("test")
    (right,) = data.qrels("test")[query_id]
    path = tmp_path / "mine.trec"
    path.write_text(f"{query_id} Q0 {right} 1 1.0 x\n")
    content = run(sets=[EvalSet(data, TrecRunFirstStage(path))]).metrics
    assert content["ranking"]["mini"]["mine"]["nDCG@10"] == pytest.approx(1 / 64)
    assert content["datasets"]["mini"]["queries_without_candidates"] == 63


@pytest.mark.parametrize("models", [[], [Overlap()]], ids=["alone", "with a model"])
def test_run_over_another_corpus_is_refused(tmp_path: Path, models: list[Overlap]) -> None:
    data = BeirSet(MINI)
    (query_id, _), *_ = data.judged_queries("test")
    path = tmp_path / "alien.trec"
    path.write_text(f"{query_id} Q0 alien 1 1.0 x\n")
    with pytest.raises(MissingDataError, match="'alien'; is it a run over another corpus"):
        run(*map(model, models), sets=[EvalSet(data, TrecRunFirstStage(path))])


def test_ids_of_a_run_that_the_set_does_not_hold_are_told_and_counted(tmp_path: Path) -> None:
    data = BeirSet(MINI)
    (query_id, _), *_ = data.judged_queries("test")
    (right,) = data.qrels("test")[query_id]
    path = tmp_path / "mine.trec"
    path.write_text(
        f"{query_id} Q0 alien 1 2.0 x\n{query_id} Q0 {right} 2 1.0 x\nnobody Q0 {right} 1 1 x\n"
    )
    told: list[str] = []
    summary = run(model(Overlap()), sets=[EvalSet(data, TrecRunFirstStage(path))], tell=told.append)
    figures = summary.metrics["datasets"]["mini"]
    assert (figures["run_unknown_queries"], figures["run_unknown_documents"]) == (1, 1)
    assert [line for line in told if f"{path}:3: 'nobody'" in line]
    assert [line for line in told if f"{path}:1: 'alien'" in line]
    assert summary.metrics["runs"]["mini"]["overlap"]["unscored"] == 1
    scores = summary.metrics["ranking"]["mini"]
    assert scores["mine"]["RR@10"] == pytest.approx(1 / 2 / 64)
    assert scores["overlap"]["RR@10"] == pytest.approx(1 / 64)
    report = Path("out/report.html").read_text()
    assert "1 documents of the run are not among its documents" in report


def test_a_run_file_named_as_a_model_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    data = BeirSet(MINI)
    (query_id, _), *_ = data.judged_queries("test")
    path = tmp_path / "overlap.trec"
    path.write_text(f"{query_id} Q0 any 1 1.0 x\n")
    with pytest.raises(UsageError, match="overlap: name of the first stage and of a model"):
        run(model(Overlap()), sets=[EvalSet(data, TrecRunFirstStage(path))])
    assert not Path("out").exists()


def test_two_sets_have_an_average(tmp_path: Path) -> None:
    other = tmp_path / "other-mini"
    (other / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (other / name).symlink_to(MINI / name)
    judged = (MINI / "qrels" / "test.tsv").read_text().splitlines(keepends=True)
    (other / "qrels" / "test.tsv").write_text("".join(judged[:12]))  # fewer: not weighed by them
    second = BeirSet(other)
    sets = [mini(), EvalSet(second, Bm25FirstStage(second.texts))]
    content = run(model(Overlap(), "good"), model(Overlap(-1.0), "bad"), sets=sets).metrics
    assert list(content["average"]) == ["bm25", "good", "bad"]
    for system, measures in content["average"].items():
        for measure, value in measures.items():
            one, two = (by_system[system][measure] for by_system in content["ranking"].values())
            assert value == pytest.approx((one + two) / 2)
    assert len(content["statistics"]["comparisons"]) == 6


def test_names_with_slashes_become_plain_file_names() -> None:
    content = run(model(Overlap(), "hf:a/b"), model(Overlap(-1.0), "hf-a-b")).metrics
    assert {"hf:a/b", "hf-a-b"} <= set(content["ranking"]["mini"])
    names = {path.name for path in Path("out/runs").glob("*.trec")}
    assert len(names) == 3
    assert "mini.hf-a-b.trec" in names
