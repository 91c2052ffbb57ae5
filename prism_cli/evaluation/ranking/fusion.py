"""Fused systems of a ranking evaluation, and the weight fitted on queries that no figure reports.

For each model there are `MODEL fused` (a weighted sum) and `MODEL rrf` (reciprocal ranks), made
from the rankings of the first stage and of the model: nothing is scored again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_cli.domain.fusion import FUSED, RRF, Fusion, fused_scores
from prism_cli.domain.metrics import MAIN_MEASURE, mean, query_values
from prism_cli.domain.seeded_sample import seeded_hash
from prism_cli.domain.trec import falling_scores, tied_scores
from prism_cli.errors import UsageError
from prism_cli.evaluation.ranking.figures import JudgedSet
from prism_cli.evaluation.ranking.reranking import unscored_behind
from prism_cli.evaluation.ranking.runs import Run, RunNote

FIT_SPLIT, FIT_SHARE = "dev", 0.25
"""Queries to fit on: this split, else this share of the evaluated queries."""
MOST_FIT_QUERIES = 300
"""Queries of a split, per set, that the model scores for the fit."""
GRID = tuple(step / 20 for step in range(21))


def fit_source(splits: Collection[str], reported: str, fit_on: str | None) -> str | float:
    """Return the split to fit on, or the share of the reported split's queries.

    Args:
        splits: of the set.
        reported: the split that is evaluated.
        fit_on: as the user gave it; None for FIT_SPLIT if there is one, else FIT_SHARE.

    Raises:
        UsageError: the reported split, or a share that is not between 0 and 1.
    """
    if fit_on is None:
        return FIT_SPLIT if FIT_SPLIT in splits and reported != FIT_SPLIT else FIT_SHARE
    if fit_on == reported:
        raise UsageError(
            f"--fit-on {fit_on}: is the split that is reported; name another one, or a share of "
            f"its queries such as {FIT_SHARE}, which are then left out of the figures"
        )
    try:
        share = float(fit_on)
    except ValueError:
        return fit_on
    if not 0 < share < 1:
        raise UsageError(f"--fit-on {fit_on}: expected a share between 0 and 1, or a split")
    return share


def fit_queries(
    judged: JudgedSet, source: str | float, seed: int, limit: int | None = None
) -> JudgedSet:
    """Return the queries to fit on: a seeded share of `judged`, or up to MOST_FIT_QUERIES of a
    split, at most `limit`, without those of `judged`.

    Raises:
        UsageError: there is none, or none would be left to report.
        MissingDataError: there is no such split.
    """
    queries, qrels = judged.queries, judged.qrels
    if isinstance(source, float):
        count = max(1, round(source * len(queries)))
    else:
        reported = set(judged.ids)
        split = judged.data.judged_queries(source)
        queries, qrels = [one for one in split if one[0] not in reported], judged.data.qrels(source)
        count = min(limit or MOST_FIT_QUERIES, MOST_FIT_QUERIES)
    if not queries or (isinstance(source, float) and count >= len(queries)):
        raise UsageError(
            f"{judged.data.name}: no queries to fit the fusion on beside those to report "
            f"({len(judged.queries)}); --fit-on names a split or a share of the queries"
        )
    first = sorted(queries, key=lambda one: seeded_hash(seed, "fit-fusion", one[0]))[:count]
    chosen = {query_id for query_id, _ in first}
    return JudgedSet(judged.data, [one for one in queries if one[0] in chosen], qrels)


def without(judged: JudgedSet, left_out: JudgedSet) -> JudgedSet:
    """Return the set without the queries of another."""
    ids = set(left_out.ids)
    return JudgedSet(
        judged.data, [one for one in judged.queries if one[0] not in ids], judged.qrels
    )


def fused_systems(
    model: str, fusion: Fusion | None, *, reciprocal_too: bool = True
) -> dict[str, Fusion]:
    """Return name -> fusion of the systems of a model; {} without fusion."""
    if fusion is None:
        return {}
    fused, reciprocal = (f"{model}{end}" for end in FUSED)
    if fusion == RRF:
        return {reciprocal: RRF}
    return {fused: fusion} | ({reciprocal: RRF} if reciprocal_too else {})


@dataclass(frozen=True)
class FusionCase:
    """The queries of a set with the rankings to fuse.

    Attributes:
        candidates, run: the first stage's and the model's ranking.
        note: of `run`.
    """

    judged: JudgedSet
    candidates: Run
    run: Run
    note: RunNote

    def fused(self, fusion: Fusion) -> Run:
        """Return the fused ranking, ties in the model's order; documents without a score of the
        model stay behind."""
        fused: Run = {}
        for query_id in self.judged.ids:
            if query_id not in self.run:
                continue
            hits, candidates = self.run[query_id], self.candidates[query_id]
            scored = len(hits) - self.note.unscored_queries.get(query_id, 0)
            ids = [doc_id for doc_id, _ in hits]
            scores = tied_scores([score for _, score in candidates])
            first_stage = dict(zip((doc_id for doc_id, _ in candidates), scores, strict=True))
            values = fused_scores(
                tied_scores([logit for _, logit in hits[:scored]]),
                [first_stage.get(doc_id) for doc_id in ids[:scored]],
                fusion,
            )
            pairs = [(one, value or 0.0) for one, value in zip(ids, values, strict=False)]
            pairs.sort(key=lambda pair: -pair[1])  # stable: ties keep the model's order
            falling = falling_scores([value for _, value in pairs])
            hits = [(one, value) for (one, _), value in zip(pairs, falling, strict=True)]
            fused[query_id] = unscored_behind(hits, ids[scored:])
        return fused

    def value(self, fusion: Fusion) -> float:
        """Return the mean of the main measure."""
        ids = self.judged.ids
        run = self.fused(fusion)
        return mean(query_values(self.judged.qrels, run, ids, [MAIN_MEASURE])[MAIN_MEASURE])


def fit_weight(cases: Sequence[FusionCase], sources: Mapping[str, str | float]) -> dict[str, Any]:
    """Return the weight of GRID with the best main measure, each set weighing the same; of equal
    ones the smallest. With the measure at all weights, and the queries of each set.

    Args:
        sources: set -> split, or share of its queries.
    """
    values = {weight: mean([case.value(weight) for case in cases]) for weight in GRID}
    weight = max(GRID, key=lambda weight: (values[weight], -weight))
    return {
        "weight": weight,
        MAIN_MEASURE: {f"{weight:g}": value for weight, value in values.items()},
        "queries": {
            case.judged.data.name: {
                "from": sources[case.judged.data.name],
                "count": len(case.judged.queries),
            }
            for case in cases
        },
    }
