"""An arm of an experiment: evaluations that differ in the seed alone, averaged into one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import stdev
from typing import Any

from prism_cli.domain.fusion import FUSED
from prism_cli.domain.metrics import MAIN_MEASURE, mean
from prism_cli.domain.query_sums import QuerySums
from prism_cli.domain.significance import bootstrap_interval
from prism_cli.reporting.figures import figures_of

PerQuery = Mapping[tuple[str, str], Mapping[str, float]]
"""(dataset, system) -> MAIN_MEASURE by query id."""


@dataclass(frozen=True)
class Finished:
    """A finished evaluation, or an arm of several.

    Attributes:
        name: its folder, as typed; the arm's name.
        metrics: the content of its metrics.json.
        per_query: where a ranking kept it.
        runs: the evaluations of an arm; empty for a single one.
        row_sums: where an evaluation of rows kept them; read for a comparison.
    """

    name: str
    metrics: Mapping[str, Any]
    per_query: PerQuery = field(default_factory=dict)
    runs: "Sequence[Finished]" = ()
    row_sums: QuerySums = field(default_factory=QuerySums)


def arm(name: str, runs: Sequence[Finished]) -> Finished:
    """Return the mean of evaluations of one kind, with MAIN_MEASURE averaged query by query.

    Of a ranking, systems that all runs share keep their name (a first stage); the one model of each
    run that the others lack, or the last one where all runs have the same systems, is the arm's,
    under its name, and so are its fused systems. Intervals cover the queries, for the mean over the
    runs; they do not cover the choice of the seeds, which `spread_of_runs` shows.

    Args:
        runs: one or more; a single one is returned under the arm's name.

    Raises:
        ValueError: a ranking measured several models that the other runs lack, or other queries
            than they; or a system that is no arm has the name.
    """
    kind = runs[0].metrics["kind"]
    if kind == "ranking":
        _check_queries(runs)
        runs = [_renamed(run, name, runs) for run in runs]
    elif len(runs) == 1:
        return replace(runs[0], name=name)
    per_query = {
        key: {
            query: mean([run.per_query[key][query] for run in runs])
            for query in values
            if all(query in run.per_query[key] for run in runs)
        }
        for key, values in runs[0].per_query.items()
        if all(key in run.per_query for run in runs)
    }
    sums = QuerySums.averaged([run.row_sums for run in runs])
    intervals: dict[str, Any] = {
        measure: sums.interval(measure, 0, share=not measure.endswith("copied_density"))
        for measure in runs[0].metrics.get("statistics", {}).get("intervals", {})
        if sums.by_query(measure)
    }
    for (dataset, system), values in per_query.items():
        span = bootstrap_interval(list(values.values()))
        intervals.setdefault(dataset, {})[system] = {MAIN_MEASURE: span}
    metrics = {
        "kind": kind,
        kind: _mean_tree([run.metrics[kind] for run in runs]),
        "statistics": {"intervals": intervals},
        "provenance": _joined([run.metrics.get("provenance", {}) for run in runs]),
    }
    return Finished(name, metrics, per_query, runs, sums)


def spread_of_runs(arms: Sequence[Finished]) -> Iterator[dict[str, Any]]:
    """Yield values, mean and standard deviation (n - 1) of each figure over the runs of an arm;
    figures that are equal in all runs, such as a first stage's, are left out."""
    for one in arms:
        values: dict[tuple[str, str, str], list[float]] = {}
        for run in one.runs:
            for figure in figures_of(run.metrics):
                if figure.value is not None:
                    place = (figure.group, figure.name, figure.system or one.name)
                    values.setdefault(place, []).append(figure.value)
        for (group, name, system), found in values.items():
            if len(found) == len(one.runs) and len(set(found)) > 1:
                yield {
                    "group": group,
                    "figure": name,
                    "arm": system,
                    "runs": [run.name for run in one.runs],
                    "values": found,
                    "mean": mean(found),
                    "sd": stdev(found),
                }


def _renamed(run: Finished, name: str, runs: Sequence[Finished]) -> Finished:
    """Return the run with its own model under the arm's name."""
    systems = [_systems(other) for other in runs]
    shared = [system for system in systems[0] if all(system in other for other in systems)]
    own = [system for system in _systems(run) if system not in shared]
    models = [system for system in own if not system.endswith(FUSED)]
    if len(models) > 1:
        raise ValueError(
            f"{run.name} measured {' and '.join(models)}: expected one model besides the systems "
            "that all folders of an arm share; evaluate each model into a folder of its own"
        )
    if all(len(other) == len(shared) for other in systems):
        models = [system for system in shared if not system.endswith(FUSED)][-1:]
    names = {f"{model}{end}": f"{name}{end}" for model in models for end in ("", *FUSED)}
    if name in set(_systems(run)) - names.keys():
        raise ValueError(f"{name}: is a system that {run.name} measured; give the arm another name")

    def renamed(measured: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(system, system): measures for system, measures in measured.items()}

    metrics = {**run.metrics}
    metrics["ranking"] = {dataset: renamed(one) for dataset, one in metrics["ranking"].items()}
    if "average" in metrics:
        metrics["average"] = renamed(metrics["average"])
    per_query = {
        (dataset, names.get(system, system)): values
        for (dataset, system), values in run.per_query.items()
    }
    return Finished(run.name, metrics, per_query)


def _check_queries(runs: Sequence[Finished]) -> None:
    """Raise ValueError unless all runs measured the same queries of the same sets."""
    found: list[dict[str, set[str]]] = []
    for run in runs:
        found.append({})
        for (dataset, _), values in run.per_query.items():
            found[-1].setdefault(dataset, set()).update(values)
    for run, queries in zip(runs, found, strict=True):
        if queries != found[0]:
            first, other = (
                ", ".join(f"{name} ({len(ids):,} queries)" for name, ids in sorted(sets.items()))
                for sets in (found[0], queries)
            )
            raise ValueError(
                f"{runs[0].name} measured {first}, and {run.name} {other}: expected the same "
                "queries of the same sets in all folders of an arm"
            )


def _systems(run: Finished) -> list[str]:
    return list(dict.fromkeys(name for found in run.metrics["ranking"].values() for name in found))


def _mean_tree(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each number, or None where one is None; keys that all trees share."""
    means: dict[str, Any] = {}
    for key, value in trees[0].items():
        if not all(key in tree for tree in trees):
            continue
        values = [tree[key] for tree in trees]
        if isinstance(value, Mapping):
            means[key] = _mean_tree(values)
        elif all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            means[key] = mean(values)
        else:
            means[key] = None
    return means


def _joined(provenances: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return settings, versions, files and models; a tuple where the runs differ."""
    joined: dict[str, Any] = {}
    for part in ("config", "versions", "files", "models"):
        names = dict.fromkeys(name for one in provenances for name in one.get(part, {}))
        joined[part] = {}
        for name in names:
            values = [one.get(part, {}).get(name) for one in provenances]
            same = all(value == values[0] for value in values)
            joined[part][name] = values[0] if same else tuple(values)
    return joined
