"""Rankings to metrics.json: measures, intervals, paired tests, and what they were made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from prism_cli.domain.metrics import PRIMARY, Qrels, mean, per_query
from prism_cli.domain.significance import (
    LEVEL,
    PERMUTATIONS,
    RESAMPLES,
    bootstrap_interval,
    holm,
    permutation_p,
)
from prism_cli.evaluation.ranking.runs import Run, RunNote

Values = dict[str, dict[str, dict[str, list[float]]]]
"""dataset -> system -> measure -> one value a query."""


@dataclass
class Measured:
    """The values of all queries, as rankings come in.

    Attributes:
        measures: names, nDCG@10 first.
        seed: of bootstrap and permutations.
        notes: dataset -> system -> what its ranking was made of.
    """

    measures: Sequence[str]
    seed: int
    values: Values = field(default_factory=dict)
    notes: dict[str, dict[str, RunNote]] = field(default_factory=dict)

    def add(
        self,
        dataset: str,
        system: str,
        qrels: Qrels,
        queries: Sequence[str],
        run: Run,
        note: RunNote,
    ) -> None:
        """Measure one ranking."""
        values = per_query(qrels, run, queries, self.measures)
        self.values.setdefault(dataset, {})[system] = values
        self.notes.setdefault(dataset, {})[system] = note

    def content(self) -> dict[str, Any]:
        """ranking, average, statistics and runs of metrics.json."""
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
                f"level {LEVEL}",
                "test": f"paired permutation test, two-sided, {PERMUTATIONS} sign flips "
                "(all of them where there are fewer)",
                "correction": "Holm, over all comparisons listed",
                "seed": self.seed,
            },
        }
        content["runs"] = {
            dataset: {system: asdict(note) for system, note in notes.items()}
            for dataset, notes in self.notes.items()
        }
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
        found: list[dict[str, Any]] = []
        for dataset, systems in self.values.items():
            for baseline, system in combinations(systems, 2):
                old, new = systems[baseline][PRIMARY], systems[system][PRIMARY]
                found.append(
                    {
                        "dataset": dataset,
                        "measure": PRIMARY,
                        "system": system,
                        "baseline": baseline,
                        "difference": mean(new) - mean(old),
                        "queries": len(new),
                        "p": permutation_p(new, old, seed=self.seed),
                    }
                )
        for one, p_holm in zip(found, holm([one["p"] for one in found]), strict=True):
            one["p_holm"] = p_holm
        return found


def _average(ranking: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """The plain mean over datasets, as BEIR's tables have it."""
    datasets = list(ranking.values())
    return {
        system: {measure: mean([one[system][measure] for one in datasets]) for measure in measures}
        for system, measures in datasets[0].items()
    }
