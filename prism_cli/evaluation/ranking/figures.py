"""Figures of rankings for metrics.json: measures, intervals, paired tests, counts of the runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from prism_cli.domain.metrics import JUDGED, MAIN_MEASURE, Qrels, mean, query_values
from prism_cli.domain.significance import (
    LEVEL,
    NORMAL_FROM,
    PERMUTATIONS,
    RESAMPLES,
    SIGNIFICANT,
    bootstrap_interval,
    paired_comparison,
    with_holm,
)
from prism_cli.evaluation.ranking.biggest_changes import (
    QueryRanks,
    biggest_changes,
    query_ranks,
    shown_texts,
)
from prism_cli.evaluation.ranking.plan import RankingSet
from prism_cli.evaluation.ranking.runs import Run, RunNote

Values = dict[str, dict[str, dict[str, list[float]]]]
"""dataset -> system -> measure -> one value per query."""


@dataclass(frozen=True)
class JudgedSet:
    """A data set with its judged queries, in order, and their judgements."""

    data: RankingSet
    queries: Sequence[tuple[str, str]]
    qrels: Qrels

    @property
    def ids(self) -> list[str]:
        """Ids of the queries."""
        return [query_id for query_id, _ in self.queries]


@dataclass
class RankingFigures:
    """Collects the values of all queries: call `add` for each ranking, then `content`.

    Attributes:
        measures: names, nDCG@10 first.
        seed: of bootstrap and permutations.
        sets: by name.
        ranks: dataset -> system -> ranks of the best documents, per query.
        runs: dataset -> system -> counts of its pairs, and the share without judgement.
    """

    measures: Sequence[str]
    seed: int
    values: Values = field(default_factory=dict)
    sets: dict[str, JudgedSet] = field(default_factory=dict)
    ranks: dict[str, dict[str, list[QueryRanks]]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, judged: JudgedSet, system: str, run: Run, note: RunNote) -> None:
        """Measure one ranking; it may have more queries than `judged`, which are left out."""
        dataset, ids = judged.data.name, judged.ids
        values = query_values(judged.qrels, run, ids, self.measures)
        self.sets[dataset] = judged
        self.values.setdefault(dataset, {})[system] = values
        self.ranks.setdefault(dataset, {})[system] = query_ranks(run, judged.qrels, ids)
        shares = [
            share for share, query_id in zip(values[JUDGED], ids, strict=True) if run.get(query_id)
        ]
        left_out = Counter[str]()
        for query_id in note.long_queries.keys() - set(ids):
            left_out.update(note.long_queries[query_id])
        self.runs.setdefault(dataset, {})[system] = {
            "pairs": sum(len(run.get(query_id, ())) for query_id in ids),
            "truncated": note.truncated - left_out["truncated"],
            "long_documents": (note.long_documents or 0) - left_out["long_documents"],
            "windows": note.windows - left_out["windows"],
            "unscored": sum(note.unscored_queries.get(query_id, 0) for query_id in ids),
            "unjudged_share": 1 - mean(shares) if shares else None,
        }

    @property
    def ids(self) -> dict[str, list[str]]:
        """Query ids by dataset, in the order of the values."""
        return {dataset: judged.ids for dataset, judged in self.sets.items()}

    def of(self, measure: str) -> dict[str, dict[str, list[float]]]:
        """Return dataset -> system -> values of one measure."""
        return {
            dataset: {system: values[measure] for system, values in systems.items()}
            for dataset, systems in self.values.items()
        }

    def content(self) -> dict[str, Any]:
        """Return ranking, average, statistics, runs and examples of metrics.json."""
        ranking = {
            dataset: {
                system: {measure: mean(values) for measure, values in by_measure.items()}
                for system, by_measure in systems.items()
            }
            for dataset, systems in self.values.items()
        }
        content: dict[str, Any] = {"ranking": ranking}
        if len(ranking) > 1:
            content["average"] = _average(ranking)
        comparisons = self._comparisons()
        content["statistics"] = {
            "intervals": self._intervals(),
            "comparisons": comparisons,
            "against_first_stage": self._against_first_stage(comparisons),
            "method": {
                "intervals": f"BCa bootstrap of the mean over queries, {RESAMPLES} resamples, "
                f"level {LEVEL}; normal from {NORMAL_FROM} queries on; Wilson's where all are "
                "0 or 1, none where all have another value",
                "test": f"paired permutation test, two-sided, {PERMUTATIONS} sign flips "
                "(all of them where there are fewer)",
                "correction": "Holm, over all comparisons listed",
                "seed": self.seed,
            },
        }
        content["runs"] = self.runs
        content["examples"] = self._examples()
        return content

    def _intervals(self) -> dict[str, Any]:
        return {
            dataset: {
                system: {
                    measure: bootstrap_interval(values, seed=self.seed)
                    for measure, values in by_measure.items()
                }
                for system, by_measure in systems.items()
            }
            for dataset, systems in self.values.items()
        }

    def _comparisons(self) -> list[dict[str, Any]]:
        return with_holm(
            [
                {
                    "dataset": dataset,
                    "measure": MAIN_MEASURE,
                    "system": system,
                    "baseline": baseline,
                }
                | paired_comparison(
                    systems[system][MAIN_MEASURE], systems[baseline][MAIN_MEASURE], seed=self.seed
                )
                for dataset, systems in self.values.items()
                for baseline, system in combinations(systems, 2)
            ]
        )

    def _against_first_stage(
        self, comparisons: Sequence[Mapping[str, Any]]
    ) -> dict[str, dict[str, list[str]]]:
        """Return system -> above, level and below -> sets, by SIGNIFICANT before correction: many
        comparisons must not hide a loss."""
        against: dict[str, dict[str, list[str]]] = {}
        for one in comparisons:
            if one["baseline"] == next(iter(self.values[one["dataset"]])):
                way = "above" if one["difference"] > 0 else "below"
                sets = against.setdefault(one["system"], {"above": [], "level": [], "below": []})
                sets["level" if one["p"] > SIGNIFICANT else way].append(one["dataset"])
        return against

    def _examples(self) -> dict[str, Any]:
        moved: list[dict[str, Any]] = []
        texts: dict[str, dict[str, str]] = {}
        for dataset, systems in self.values.items():
            judged, ranks = self.sets[dataset], self.ranks[dataset]
            blocks = [
                {
                    "dataset": dataset,
                    "system": system,
                    "baseline": baseline,
                    "measure": MAIN_MEASURE,
                }
                | biggest_changes(
                    judged.queries,
                    judged.qrels,
                    (systems[baseline][MAIN_MEASURE], systems[system][MAIN_MEASURE]),
                    (ranks[baseline], ranks[system]),
                )
                for baseline, system in combinations(systems, 2)
            ]
            moved += blocks
            texts[dataset] = shown_texts(blocks, judged.data.texts())
        return {"moved": moved, "texts": texts}


def _average(ranking: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return the unweighted mean over datasets, as in BEIR's tables."""
    datasets = list(ranking.values())
    return {
        system: {
            measure: mean([values[system][measure] for values in datasets]) for measure in measures
        }
        for system, measures in datasets[0].items()
    }
