"""Finished evaluations of one kind side by side: what they share, and what differs between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_cli.domain.metrics import PRIMARY
from prism_cli.domain.significance import paired_comparison, with_holm
from prism_cli.reporting.figures import Figure, figures_of, numbers
from prism_cli.reporting.pairing import Column, columns_of

Place = tuple[str, str]
"""Group and name of a figure."""
Table = dict[Place, Figure]
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
    tables = [_by_system(run.metrics) for run in runs]
    values = [
        {
            system: {place: figure.value for place, figure in figures.items()}
            for system, figures in table.items()
        }
        for table in tables
    ]
    columns = columns_of(list(zip([run.name for run in runs], values, strict=True)))
    found = [
        _side_by_side([tables[one.run][one.system].get(place) for one in columns], place)
        for place in _shared(runs, tables)
    ]
    if ranking:
        found += _averages(found)
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


def _by_system(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """System -> its figures by group and name, but for the averages of a ranking."""
    tables: dict[str, Table] = {}
    for figure in figures_of(metrics):
        if metrics["kind"] != "ranking" or figure.group in metrics["ranking"]:
            tables.setdefault(figure.system, {})[figure.group, figure.name] = figure
    return tables


def _shared(runs: Sequence[Finished], tables: Sequence[Mapping[str, Table]]) -> list[Place]:
    """Figures that all runs have; of a ranking, those of any run on the data sets that all have."""
    places = [dict.fromkeys(place for table in run.values() for place in table) for run in tables]
    if runs[0].metrics["kind"] != "ranking":
        return [place for place in places[0] if all(place in other for other in places)]
    measured = [run.metrics["ranking"] for run in runs]
    groups = [group for group in measured[0] if all(group in other for other in measured)]
    known = dict.fromkeys(place for run in places for place in run)
    return [place for group in groups for place in known if place[0] == group]


def _side_by_side(figures: Sequence[Figure | None], place: Place) -> dict[str, Any]:
    return {
        "group": place[0],
        "figure": place[1],
        "values": [figure and figure.value for figure in figures],
        "intervals": [figure and figure.interval for figure in figures],
    }


def _averages(figures: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Means over the data sets, where there are several, of measures that all of them have."""
    groups = {figure["group"] for figure in figures}
    by_measure: dict[str, list[list[float | None]]] = {}
    for figure in figures:
        by_measure.setdefault(figure["figure"], []).append(figure["values"])
    for measure, rows in by_measure.items():
        if 1 < len(groups) == len(rows):
            yield {
                "group": AVERAGE,
                "figure": measure,
                "values": [_mean(column) for column in zip(*rows, strict=True)],
                "intervals": [None] * len(rows[0]),
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
            dict(numbers(one.metrics.get("statistics", {}).get("counts", {})))
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
