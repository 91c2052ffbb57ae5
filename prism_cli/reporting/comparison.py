"""Finished evaluations of one kind side by side: what they share, and what differs between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_cli.domain.metrics import PRIMARY
from prism_cli.domain.significance import paired_comparison, with_holm
from prism_cli.reporting.pairing import Column, columns_of

AVERAGE = "average of the shared sets"
_TOLD = 3
"""Figures that a warning names; of the rest their number."""


@dataclass(frozen=True)
class Finished:
    """One evaluation.

    Attributes:
        name: its folder, as typed.
        metrics: the content of its metrics.json.
        per_query: (dataset, system) -> PRIMARY by query id, where a ranking kept it.
    """

    name: str
    metrics: Mapping[str, Any]
    per_query: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)


def compare(runs: Sequence[Finished]) -> dict[str, Any]:
    """What `prism report --json` prints.

    `figures` are those that all runs have, a value a column; a difference is to the column's
    counterpart, which `columns` name by place (`against`).

    Args:
        runs: of one kind, two or more; all are compared with the first.
    """
    kind = runs[0].metrics["kind"]
    ranking = kind == "ranking"
    columns = columns_of([(run.name, _systems(run)) for run in runs])
    found = _of_ranking(runs, columns) if ranking else _of_values(runs, columns, kind)
    figures = [
        figure | {"differences": _differences(figure["values"], columns)} for figure in found
    ]
    tests = _tests(runs, columns, [one for one in figures if one["figure"] == PRIMARY])
    differs = _differing([run.metrics.get("provenance", {}) for run in runs])
    return {
        "kind": kind,
        "runs": [run.name for run in runs],
        "columns": [
            {"name": one.name, "run": one.run, "system": one.system, "against": one.against}
            for one in columns
        ],
        "figures": figures,
        "tests": tests,
        "differs": differs,
        "warnings": [
            *_data_warnings(runs),
            *_query_warnings(runs),
            *_test_warnings(ranking, figures, tests),
        ],
    }


def _systems(run: Finished) -> Mapping[str, Any]:
    """System -> its figures; of an evaluation without systems, one without a name."""
    if run.metrics["kind"] != "ranking":
        return {"": run.metrics}
    by_system: dict[str, dict[str, Any]] = {}
    for dataset, systems in run.metrics["ranking"].items():
        for system, measures in systems.items():
            by_system.setdefault(system, {})[dataset] = measures
    return by_system


def _of_ranking(runs: Sequence[Finished], columns: Sequence[Column]) -> list[dict[str, Any]]:
    shared = [
        dataset
        for dataset in runs[0].metrics["ranking"]
        if all(dataset in run.metrics["ranking"] for run in runs)
    ]
    figures = []
    for dataset in shared:
        of_column = [
            runs[one.run].metrics["ranking"][dataset].get(one.system, {}) for one in columns
        ]
        for measure in dict.fromkeys(name for values in of_column for name in values):
            intervals = [
                _at(runs[one.run].metrics["statistics"]["intervals"], dataset, one.system, measure)
                for one in columns
            ]
            values = [values.get(measure) for values in of_column]
            figures.append(_figure(dataset, measure, values, intervals))
    if len(shared) > 1:
        by_measure: dict[str, list[list[float | None]]] = {}
        for figure in figures:
            by_measure.setdefault(figure["figure"], []).append(figure["values"])
        figures += [
            _figure(AVERAGE, measure, [_mean(column) for column in zip(*rows, strict=True)], None)
            for measure, rows in by_measure.items()
            if len(rows) == len(shared)
        ]
    return figures


def _of_values(
    runs: Sequence[Finished], columns: Sequence[Column], kind: str
) -> list[dict[str, Any]]:
    found = [dict(_numbers(run.metrics[kind])) for run in runs]
    figures = []
    for path in found[0]:
        if not all(path in one for one in found):
            continue
        intervals = [_interval(runs[one.run], path) for one in columns]
        values = [found[one.run][path] for one in columns]
        figures.append(_figure(" · ".join(path[:-1]), path[-1], values, intervals))
    return figures


def _numbers(
    content: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], float | None]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, (*path, name))
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield (*path, name), value


def _interval(run: Finished, path: tuple[str, ...]) -> Any:
    """Under `statistics.intervals`: by the name with dots (a baseline's without `baselines`)."""
    intervals = run.metrics.get("statistics", {}).get("intervals", {})
    short = path[1:] if path[0] == "baselines" else path
    return _at(intervals, ".".join(short)) or _at(intervals, *path)


def _at(content: Any, *path: str) -> Any:
    for name in path:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, list) else None


def _figure(
    group: str, name: str, values: Sequence[float | None], intervals: Sequence[Any] | None
) -> dict[str, Any]:
    return {
        "group": group,
        "figure": name,
        "values": list(values),
        "intervals": list(intervals) if intervals else [None] * len(values),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _differences(values: Sequence[float | None], columns: Sequence[Column]) -> list[float | None]:
    found: list[float | None] = []
    for value, one in zip(values, columns, strict=True):
        old = None if one.against is None else values[one.against]
        found.append(None if value is None or old is None else value - old)
    return found


def _tests(
    runs: Sequence[Finished], columns: Sequence[Column], figures: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Paired, over the queries that both runs measured, where both kept them; Holm over all."""
    found: list[dict[str, Any]] = []
    for figure in figures:
        dataset = figure["group"]
        for place, one in enumerate(columns):
            if one.against is None:
                continue
            other = columns[one.against]
            new = runs[one.run].per_query.get((dataset, one.system), {})
            old = runs[other.run].per_query.get((dataset, other.system), {})
            both = sorted(new.keys() & old.keys())
            if not both:
                continue
            after, before = [new[query] for query in both], [old[query] for query in both]
            test = {"dataset": dataset, "measure": PRIMARY, "column": place, "against": one.against}
            found.append(test | paired_comparison(after, before))
    return with_holm(found)


def _differing(provenances: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What of config, versions, files and models is not the same in all, a value a run."""
    flat = [
        {
            f"{part}.{name}": value
            for part in ("config", "versions", "files", "models")
            for name, value in one.get(part, {}).items()
        }
        for one in provenances
    ]
    names = dict.fromkeys(name for one in flat for name in one)
    values = {name: [one.get(name) for one in flat] for name in names}
    return {name: line for name, line in values.items() if any(one != line[0] for one in line)}


def _data_warnings(runs: Sequence[Finished]) -> list[str]:
    """Other bytes behind the figures: the same name, another hash; or files of one run alone."""
    first = runs[0].metrics.get("provenance", {}).get("files", {})
    warnings = []
    for run in runs[1:]:
        files = run.metrics.get("provenance", {}).get("files", {})
        changed = sorted(name for name in files.keys() & first.keys() if files[name] != first[name])
        known = {*first.values()}
        new = sorted(name for name in files.keys() - first.keys() if files[name] not in known)
        if changed or new:
            told = [f"{name} (other content)" for name in changed]
            told += [f"{name} (new)" for name in new]
            warnings.append(
                f"{run.name} read other data than {runs[0].name}: {', '.join(told)}. The "
                "figures compare the same thing only where the same queries and judgements stand "
                "behind them."
            )
        before, after = (
            dict(_numbers(one.metrics.get("statistics", {}).get("counts", {})))
            for one in (runs[0], run)
        )
        other = [
            f"{'.'.join(path)} {count or 0:,} and {after[path] or 0:,}"
            for path, count in before.items()
            if path in after and count != after[path]
        ]
        if other:
            names = f"{runs[0].name} and {run.name}"
            more = f"; and of {len(other) - _TOLD:,} more" if len(other) > _TOLD else ""
            warnings.append(f"Rows behind a figure in {names}: {'; '.join(other[:_TOLD])}{more}.")
    return warnings


def _query_warnings(runs: Sequence[Finished]) -> list[str]:
    """Figures over other queries, as of a limit or of other judgements."""
    first = _queries(runs[0])
    warnings = []
    for run in runs[1:]:
        told = [
            f"{dataset} ({len(ids)}, not {len(first[dataset])}; {len(ids & first[dataset])} shared)"
            for dataset, ids in _queries(run).items()
            if ids != first.get(dataset, ids)
        ]
        if told:
            warnings.append(
                f"{run.name} measured other queries than {runs[0].name}: {', '.join(told)}. Each "
                "figure is over the queries of its own run; only the paired tests are over the "
                "shared ones."
            )
    return warnings


def _queries(run: Finished) -> dict[str, set[str]]:
    """Dataset -> ids of its queries."""
    return {dataset: set(values) for (dataset, _), values in run.per_query.items()}


def _test_warnings(
    ranking: bool, figures: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]
) -> list[str]:
    if not figures:
        return ["The runs share no figure: they measured different sets or systems."]
    if ranking and not tests:
        return [
            "No paired test: it needs the values of each query, which not all of these runs kept. "
            "One evaluation with both models tests them (prism eval … --model A --model B)."
        ]
    return []
