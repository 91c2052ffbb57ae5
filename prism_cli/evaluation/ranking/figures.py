"""Rankings to metrics.json: measures, intervals, paired tests, and what they were made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from prism_cli.domain.metrics import JUDGED, PRIMARY, Qrels, mean, per_query
from prism_cli.domain.significance import (
    LEVEL,
    NORMAL_FROM,
    PERMUTATIONS,
    RESAMPLES,
    bootstrap_interval,
    paired_comparison,
    with_holm,
)
from prism_cli.evaluation.ranking.biggest_changes import (
    QueryRanks,
    biggest_changes,
    seen,
    shown_texts,
)
from prism_cli.evaluation.ranking.plan import RankingSet
from prism_cli.evaluation.ranking.runs import Run, RunNote

Values = dict[str, dict[str, dict[str, list[float]]]]
"""dataset -> system -> measure -> one value a query."""


@dataclass(frozen=True)
class JudgedSet:
    """A data set's part in an evaluation: its judged queries, in order, and their judgements."""

    data: RankingSet
    queries: Sequence[tuple[str, str]]
    qrels: Qrels

    @property
    def ids(self) -> list[str]:
        """Of the queries."""
        return [query_id for query_id, _ in self.queries]


@dataclass
class RankingFigures:
    """The values of all queries, as rankings come in.

    Attributes:
        measures: names, nDCG@10 first.
        seed: of bootstrap and permutations.
        sets: by name.
        seen: dataset -> system -> what is kept of the ranking of each query.
        runs: dataset -> system -> what its ranking was made of.
    """

    measures: Sequence[str]
    seed: int
    values: Values = field(default_factory=dict)
    sets: dict[str, JudgedSet] = field(default_factory=dict)
    seen: dict[str, dict[str, list[QueryRanks]]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, one: JudgedSet, system: str, run: Run, note: RunNote) -> None:
        """Measure one ranking."""
        dataset, ids = one.data.name, one.ids
        values = per_query(one.qrels, run, ids, self.measures)
        self.sets[dataset] = one
        self.values.setdefault(dataset, {})[system] = values
        self.seen.setdefault(dataset, {})[system] = seen(run, one.qrels, ids)
        there = [
            share for share, query_id in zip(values[JUDGED], ids, strict=True) if run.get(query_id)
        ]
        self.runs.setdefault(dataset, {})[system] = {
            "pairs": note.pairs,
            "truncated": note.truncated,
            "unscored": note.unscored,
            "unjudged_share": 1 - mean(there) if there else None,
        }

    @property
    def ids(self) -> dict[str, list[str]]:
        """dataset -> query ids, in the order of the values."""
        return {dataset: one.ids for dataset, one in self.sets.items()}

    def of(self, measure: str) -> dict[str, dict[str, list[float]]]:
        """dataset -> system -> values of one measure."""
        return {
            dataset: {system: found[measure] for system, found in systems.items()}
            for dataset, systems in self.values.items()
        }

    def content(self) -> dict[str, Any]:
        """ranking, average, statistics, runs and examples of metrics.json."""
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
        content["statistics"] = {
            "intervals": self._intervals(),
            "comparisons": self._comparisons(),
            "method": {
                "intervals": f"BCa bootstrap of the mean over queries, {RESAMPLES} resamples, "
                f"level {LEVEL}; normal from {NORMAL_FROM} queries on; Wilson's where all are "
                "0 or 1",
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
                    measure: list(bootstrap_interval(values, seed=self.seed))
                    for measure, values in by_measure.items()
                }
                for system, by_measure in systems.items()
            }
            for dataset, systems in self.values.items()
        }

    def _comparisons(self) -> list[dict[str, Any]]:
        return with_holm(
            [
                {"dataset": dataset, "measure": PRIMARY, "system": system, "baseline": baseline}
                | paired_comparison(
                    systems[system][PRIMARY], systems[baseline][PRIMARY], seed=self.seed
                )
                for dataset, systems in self.values.items()
                for baseline, system in combinations(systems, 2)
            ]
        )

    def _examples(self) -> dict[str, Any]:
        moved: list[dict[str, Any]] = []
        texts: dict[str, dict[str, str]] = {}
        for dataset, systems in self.values.items():
            one, kept = self.sets[dataset], self.seen[dataset]
            blocks = [
                {"dataset": dataset, "system": system, "baseline": baseline, "measure": PRIMARY}
                | biggest_changes(
                    one.queries,
                    one.qrels,
                    (systems[baseline][PRIMARY], systems[system][PRIMARY]),
                    (kept[baseline], kept[system]),
                )
                for baseline, system in combinations(systems, 2)
            ]
            moved += blocks
            texts[dataset] = shown_texts(blocks, one.data.texts())
        return {"moved": moved, "texts": texts}


def _average(ranking: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """The plain mean over datasets, as BEIR's tables have it."""
    datasets = list(ranking.values())
    return {
        system: {measure: mean([one[system][measure] for one in datasets]) for measure in measures}
        for system, measures in datasets[0].items()
    }
