"""Fused systems of an evaluation, and the fit of their weight; models are scripted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage
from prism_cli.commands.eval_sets import check_fusion
from prism_cli.configs.eval import EvalConfig
from prism_cli.domain.fusion import fused_scores
from prism_cli.domain.metrics import ranked
from prism_cli.domain.trec import falling_scores
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.evaluation.ranking.figures import JudgedSet
from prism_cli.evaluation.ranking.fusion import FusionCase, fit_queries, fit_source, fit_weight
from prism_cli.evaluation.ranking.plan import EvalSet, RankingSet
from prism_cli.evaluation.ranking.runs import Run, RunNote
from prism_cli.ports import Reply
from prism_cli.reporting.fusion import fitted_weights
from tests.evaluation.ranking.test_evaluate import Overlap, model, run, trec
from tests.mini import MINI


@dataclass
class Named:
    """A data set of which only the name is used."""

    name: str


def case(name: str, *runs: tuple[list[float], list[float]], unscored: int = 0) -> FusionCase:
    """Return one query for each (logits, first stage's scores) of the documents a (the relevant
    one), b and so on; the model ranks the last `unscored` behind."""
    candidates: Run = {}
    reranked: Run = {}
    for number, (logits, scores) in enumerate(runs):
        ids = "abcdef"[: len(scores)]
        candidates[str(number)] = list(zip(ids, scores, strict=True))
        reranked[str(number)] = ranked(list(zip(ids, logits, strict=True)))
    judged = JudgedSet(
        cast(RankingSet, Named(name)),
        [(query_id, "") for query_id in candidates],
        {query_id: {"a": 1} for query_id in candidates},
    )
    behind = {query_id: unscored for query_id in candidates if unscored}
    return FusionCase(judged, candidates, reranked, RunNote("", unscored_queries=behind))


MODEL_RIGHT, FIRST_RIGHT, BOTH_RIGHT = (
    ([1.0, 0.0], [0.0, 1.0]),
    ([0.0, 1.0], [1.0, 0.0]),
    (
        [1.0, 0.0],
        [1.0, 0.0],
    ),
)


def test_weight_is_the_best_mean_over_sets_whatever_their_sizes() -> None:
    """Over the four queries alone 0 would win: (3 + .631) / 4 against (2 + 2 * .631) / 4."""
    cases = [case("one", FIRST_RIGHT), case("two", MODEL_RIGHT, MODEL_RIGHT, BOTH_RIGHT)]
    fit = fit_weight(cases, {"one": "dev", "two": 0.25})
    assert fit["weight"] == 0.55
    assert len(fit["nDCG@10"]) == 21
    assert fit["nDCG@10"]["0.55"] == pytest.approx((1 + (1 + 2 * 0.63093) / 3) / 2, abs=1e-5)
    assert fit["nDCG@10"]["0"] == pytest.approx((0.63093 + 1) / 2, abs=1e-5)
    assert fit["queries"]["two"] == {"from": 0.25, "count": 3}
    (line,) = fitted_weights({"fusion": {"m": fit}})
    assert "weight 0.55 is best on 4 queries" in line
    assert line.endswith("--fuse 0.55; so few queries say little")


def test_weights_that_are_all_alike_are_named_as_such() -> None:
    equal = fit_weight([case("one", BOTH_RIGHT)], {"one": "dev"})
    assert equal["weight"] == 0
    (line,) = fitted_weights({"fusion": {"m": equal}})
    assert "all weights give the same nDCG@10, 1.0000, on 1 query of 1 set" in line
    assert "--fuse" not in line


def test_equal_scores_of_a_run_are_fused_as_equal() -> None:
    logits, equal = [0.0, 1.0, 3.0], falling_scores([2.0, 2.0, 2.0])
    fused = dict(case("one", (logits, equal)).fused(0.5)["0"])
    values = fused_scores(logits, [2.0, 2.0, 2.0], 0.5)
    assert [fused[name] for name in "abc"] == values
    assert fused_scores([0.0, 1.0], [1e308, -1e308], 0.5) == [0.5, 0.5]


def test_fused_scores_that_tie_are_in_the_models_order() -> None:
    for logits, first in (([3.0, 1.0], [2.0, 7.0]), ([1.0, 3.0], [7.0, 2.0])):
        fused = case("one", (logits, first)).fused(0.5)["0"]
        assert [doc for doc, _ in ranked(fused)] == (["a", "b"] if logits[0] == 3 else ["b", "a"])


def test_documents_without_a_score_stay_behind_the_fused_ones() -> None:
    one = case("one", ([2.0, 1.0, 0.0], [1.0, 5.0, 9.0]), unscored=1)
    assert one.fused(1.0) == {"0": [("b", 1.0), ("a", 0.0), ("c", -1.0)]}


def test_fused_systems_stand_beside_the_model_with_tests_and_runs() -> None:
    backend = Overlap(-1.0)
    content = run(model(backend, "bad"), limit=20, fuse=0.9).metrics
    ranking = content["ranking"]["mini"]
    assert list(ranking) == ["bm25", "bad", "bad fused", "bad rrf"]
    assert ranking["bad fused"]["nDCG@10"] > ranking["bad"]["nDCG@10"] + 0.2
    assert len(backend.asked) == content["runs"]["mini"]["bad"]["pairs"]
    first, second, fused = (
        trec(Path(f"out/runs/mini.{name}.trec")) for name in ("bm25", "bad", "bad-fused")
    )
    query_id, hits = next(iter(second.items()))
    scores = dict(first[query_id])
    values = fused_scores([logit for _, logit in hits], [scores[doc] for doc, _ in hits], 0.9)
    expected = ranked([(doc, value or 0) for (doc, _), value in zip(hits, values, strict=True)])
    assert [doc for doc, _ in fused[query_id]] == [doc for doc, _ in expected]
    against = content["statistics"]["against_first_stage"]
    assert against["bad"] == {"above": [], "level": [], "below": ["mini"]}
    assert against["bad fused"]["below"] == []
    assert content["fusion"] == {"bad": {"weight": 0.9}}
    page = Path("out/report.html").read_text()
    assert "sets against the first stage (p &lt;= 0.05 before correction)" in page
    assert list(run(model(Overlap(), "m"), limit=4, fuse="rrf", output=Path("r")).metrics[
        "ranking"]["mini"]) == ["bm25", "m", "m rrf"]  # fmt: skip


def test_a_model_that_states_a_weight_is_fused_with_it_unless_another_is_asked_for() -> None:
    states = replace(model(Overlap(-1.0), "bad"), fuse=0.75)
    content = run(states, limit=8).metrics
    assert list(content["ranking"]["mini"]) == ["bm25", "bad", "bad fused"]
    assert content["fusion"] == {"bad": {"weight": 0.75}}
    again = run(states, limit=8, fuse=0.25, overwrite=True).metrics
    assert again["fusion"] == {"bad": {"weight": 0.25}}
    alone = run(states, limit=8, fuse=0, overwrite=True).metrics
    assert list(alone["ranking"]["mini"]) == ["bm25", "bad"]
    with pytest.raises(ChangedInputError, match="own_fuse"):
        run(replace(states, fuse=0.5), limit=8, fuse=0.25)


def test_fit_leaves_its_queries_out_and_scores_nothing_again() -> None:
    before = run(model(Overlap(-1.0), "bad"), limit=40).metrics
    again = Overlap(-1.0)
    options: dict[str, Any] = {"limit": 40, "overwrite": True, "fit_fusion": True, "fit_on": "0.3"}
    content = run(model(again, "bad"), **options).metrics
    assert not again.asked
    fit = content["fusion"]["bad"]
    assert fit["queries"] == {"mini": {"from": 0.3, "count": 12}}
    assert content["datasets"]["mini"]["queries"] == 28
    assert fit["weight"] > 0.5
    values = {
        line["system"]: line["values"]
        for line in map(json.loads, Path("out/per_query.jsonl").read_text().splitlines())
    }
    assert {len(one) for one in values.values()} == {28}
    total = 12 * fit["nDCG@10"]["0"] + sum(values["bad"].values())
    assert total / 40 == pytest.approx(before["ranking"]["mini"]["bad"]["nDCG@10"])
    assert f"--fuse {fit['weight']:g}" in Path("out/report.html").read_text()


def test_counts_of_a_run_are_those_of_the_reported_queries() -> None:
    class InWindows(Overlap):
        def answer(self, payloads: Sequence[Any]) -> list[Reply]:
            return [
                one if one.refusal else Reply({**one.value, "truncated": True, "windows": 2})
                for one in super().answer(payloads)
            ]

    refused = " with "
    content = run(
        model(InWindows(refuse=refused), "m"), limit=8, fit_fusion=True, fit_on="0.5"
    ).metrics
    data = BeirSet(MINI)
    texts, queries = dict(data.texts()), data.judged_queries("test", 8)
    left_out = fit_queries(JudgedSet(data, queries, {}), 0.5, 0).ids
    found = [
        refused in texts[doc]
        for query_id, hits in trec(Path("out/runs/mini.bm25.trec")).items()
        if query_id not in left_out
        for doc, _ in hits
    ]
    scored = found.count(False)
    assert 0 < scored < len(found)
    for system in ("m", "m fused", "m rrf"):
        counts = dict(content["runs"]["mini"][system])
        del counts["unjudged_share"]
        assert counts == {
            "pairs": len(found),
            "truncated": scored,
            "long_documents": scored,
            "windows": 2 * scored,
            "unscored": len(found) - scored,
        }
    assert content["runs"]["mini"]["bm25"]["pairs"] == len(found)


def test_fit_on_a_split_scores_its_queries_and_reports_all_of_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "both"
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (folder / name).symlink_to(MINI / name)
    lines = (MINI / "qrels" / "test.tsv").read_text().splitlines(keepends=True)
    (folder / "qrels" / "test.tsv").write_text("".join(lines[:11]))
    (folder / "qrels" / "dev.tsv").write_text("".join([lines[0], *lines[5:20]]))
    data = BeirSet(folder)
    backend = Overlap()
    content = run(
        model(backend), sets=[EvalSet(data, Bm25FirstStage(data.texts))], fit_fusion=True
    ).metrics
    reported = [query_id for query_id, _ in data.judged_queries("test")]
    assert content["datasets"]["both"]["queries"] == len(reported) == 10
    assert content["fusion"]["overlap"]["queries"] == {"both": {"from": "dev", "count": 9}}
    fitted = trec(Path("out/runs/fit/both.overlap.trec"))
    assert len(fitted) == 9
    assert not fitted.keys() & set(reported)
    assert str(folder / "qrels" / "dev.tsv") in json.dumps(content["provenance"])


def test_a_fit_without_queries_or_candidates_is_refused_before_a_model_is_asked(
    tmp_path: Path,
) -> None:
    backend = Overlap()
    with pytest.raises(UsageError, match="mini: no queries to fit the fusion on"):
        run(model(backend), limit=5, fit_fusion=True, fit_on="0.99")
    assert not Path("out").exists()
    data = BeirSet(MINI)
    (left_out,) = fit_queries(JudgedSet(data, data.judged_queries("test", 4), {}), 0.25, 0).ids
    candidates = Bm25FirstStage(data.texts).search(data.judged_queries("test", 4), 2)
    lines = [
        f"{query_id} Q0 {doc_id} 1 {score} bm25"
        for (query_id, _), hits in zip(data.judged_queries("test", 4), candidates, strict=True)
        for doc_id, score in hits
        if query_id != left_out
    ]
    (tmp_path / "run.trec").write_text("\n".join(lines))
    sets = [EvalSet(data, TrecRunFirstStage(tmp_path / "run.trec"))]
    with pytest.raises(UsageError, match="the first stage has no candidates for the queries"):
        run(model(backend), sets=sets, limit=4, fit_fusion=True)
    assert not backend.asked


def test_queries_to_fit_on_are_named_or_found() -> None:
    assert fit_source(["dev", "test"], "test", None) == "dev"
    assert fit_source(["dev", "test"], "dev", None) == fit_source(["test"], "test", None) == 0.25
    assert fit_source(["test"], "test", "train") == "train"
    for wrong in ("test", "0", "1.5"):
        with pytest.raises(UsageError, match="--fit-on"):
            fit_source(["test"], "test", wrong)
    with pytest.raises(UsageError, match="mini: no queries to fit the fusion on"):
        fit_queries(case("mini", BOTH_RIGHT).judged, 0.25, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit_on": "dev"}, "add --fit-fusion"),
        ({"fit_fusion": True, "fuse": 0.5}, "leave out one of the two"),
        ({"fuse": "rrf", "model": ["none"]}, "name one with --model"),
    ],
    ids=lambda value: "",
)
def test_contradicting_options_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_fusion(EvalConfig(**settings))
