"""Compare finished evaluations of one kind: shared figures, paired tests, and other differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from prism_cli.domain.metrics import MAIN_MEASURE
from prism_cli.domain.significance import paired_comparison, with_holm
from prism_cli.reporting.arms import Finished, spread_of_runs
from prism_cli.reporting.figures import Figure, figures_of, numbers
from prism_cli.reporting.pairing import Column, columns_of

_KEY_FIGURES = (
    MAIN_MEASURE, "answer_retention", "rationale_recall", "rationale_precision", "wrong_yes_rate",
    "entity_fidelity", "verdict_accuracy", "alpha",
)  # fmt: skip
"""Figures for the top of the page, as far as there are any."""
Comparison = Mapping[str, Any]
Place = tuple[str, str]
"""Group and name of a figure."""
Table = dict[Place, Figure]
AVERAGE = "average of the shared sets"
_MAX_NAMED = 3
"""Figures that a warning names; of the rest, their number."""


def compare(runs: Sequence[Finished]) -> dict[str, Any]:
    """Return the comparison, as `prism report --json` prints it.

    `figures` are those that all runs have, a value a column; a difference is to the column's
    counterpart, which `columns` name by place (`against`).

    Args:
        runs: of one kind, two or more; all are compared with the first.
    """
    kind = runs[0].metrics["kind"]
    ranking = kind == "ranking"
    tables = [_by_system(run.metrics) for run in runs]
    places = _shared(runs, tables)
    values = [
        {
            system: {place: figures[place].value for place in places if place in figures}
            for system, figures in table.items()
        }
        for table in tables
    ]
    columns = columns_of(list(zip([run.name for run in runs], values, strict=True)))
    shared = [
        _side_by_side([tables[column.run][column.system].get(place) for column in columns], place)
        for place in places
    ]
    if ranking:
        shared += _averages(shared)
    figures = [
        figure | {"differences": _differences(figure["values"], columns)} for figure in shared
    ]
    main = [figure for figure in figures if figure["figure"] == MAIN_MEASURE]
    tests = _tests(
        runs, columns, main if ranking else key_figures({"kind": kind, "figures": figures})
    )
    differs = _differing([run.metrics.get("provenance", {}) for run in runs])
    return {
        "kind": kind,
        "runs": [run.name for run in runs],
        "columns": [asdict(column) for column in columns],
        "figures": figures,
        "tests": tests,
        "spread": list(spread_of_runs(runs)),
        "differs": differs,
        "warnings": [
            *_data_warnings(runs),
            *_query_warnings(runs),
            *_test_warnings(ranking, figures, tests),
        ],
    }


def key_figures(comparison: Comparison) -> list[Comparison]:
    """Return the main figures: of a ranking the average, of answers the F1 of each context, else
    those of _KEY_FIGURES."""
    figures: list[Comparison] = comparison["figures"]
    if comparison["kind"] == "ranking":
        return [figure for figure in figures if figure["figure"] == MAIN_MEASURE][-1:]
    if comparison["kind"] == "answers":
        return [figure for figure in figures if figure["figure"] == "f1"]
    named = {figure["figure"]: figure for figure in figures if not figure["group"]}
    return [named[name] for name in _KEY_FIGURES if name in named] or figures[:1]


def _by_system(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Return system -> figures by group and name, without the averages of a ranking."""
    tables: dict[str, Table] = {}
    for figure in figures_of(metrics):
        if metrics["kind"] != "ranking" or figure.group in metrics["ranking"]:
            tables.setdefault(figure.system, {})[figure.group, figure.name] = figure
    return tables


def _shared(runs: Sequence[Finished], tables: Sequence[Mapping[str, Table]]) -> list[Place]:
    """Return figures of all runs; of a ranking, those of any run on the shared data sets."""
    places = [dict.fromkeys(place for table in run.values() for place in table) for run in tables]
    if runs[0].metrics["kind"] != "ranking":
        return [place for place in places[0] if all(place in other for other in places)]
    measured = [run.metrics["ranking"] for run in runs]
    groups = [group for group in measured[0] if all(group in other for other in measured)]
    merged = dict.fromkeys(place for run in places for place in run)
    return [place for group in groups for place in merged if place[0] == group]


def _side_by_side(figures: Sequence[Figure | None], place: Place) -> dict[str, Any]:
    return {
        "group": place[0],
        "figure": place[1],
        "values": [figure and figure.value for figure in figures],
        "intervals": [figure and figure.interval for figure in figures],
    }


def _averages(figures: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield means over the data sets, if there are several, of measures that all of them have."""
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
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def _differences(values: Sequence[float | None], columns: Sequence[Column]) -> list[float | None]:
    differences: list[float | None] = []
    for value, column in zip(values, columns, strict=True):
        old = None if column.against is None else values[column.against]
        differences.append(None if value is None or old is None else value - old)
    return differences


def _tests(
    runs: Sequence[Finished], columns: Sequence[Column], figures: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return paired tests over the queries, with Holm over all tests."""
    tests: list[dict[str, Any]] = []
    for figure in figures:
        dataset, measure = figure["group"], figure["figure"]
        for index, column in enumerate(columns):
            if column.against is None:
                continue
            other = columns[column.against]
            new, old = runs[column.run], runs[other.run]
            if measure == MAIN_MEASURE:
                after, before = _common(
                    new.per_query.get((dataset, column.system), {}),
                    old.per_query.get((dataset, other.system), {}),
                )
            else:
                name = ".".join(filter(None, (dataset, measure)))
                after, before = new.row_sums.paired(old.row_sums, name)
            if not after:
                continue
            test = {
                "dataset": dataset,
                "measure": measure,
                "column": index,
                "against": column.against,
            }
            tests.append(test | paired_comparison(after, before))
    return with_holm(tests)


def _common(new: Mapping[str, float], old: Mapping[str, float]) -> tuple[list[float], list[float]]:
    """Return the values of the queries that both have."""
    both = sorted(new.keys() & old.keys())
    return [new[query] for query in both], [old[query] for query in both]


def _differing(provenances: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return config, versions, files and models that differ: name -> a value for each run."""
    flat = [
        {
            f"{part}.{name}": value
            for part in ("config", "versions", "files", "models")
            for name, value in provenance.get(part, {}).items()
        }
        for provenance in provenances
    ]
    names = dict.fromkeys(name for run in flat for name in run)
    rows = {name: [run.get(name) for run in flat] for name in names}
    return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}


def _data_warnings(runs: Sequence[Finished]) -> list[str]:
    """Warn of files whose content changed or that one run alone read, and of other row counts."""
    first = runs[0].metrics.get("provenance", {}).get("files", {})
    warnings = []
    for run in runs[1:]:
        files = run.metrics.get("provenance", {}).get("files", {})
        changed = sorted(name for name in files.keys() & first.keys() if files[name] != first[name])
        hashes = {*first.values()}
        new = sorted(name for name in files.keys() - first.keys() if files[name] not in hashes)
        if changed or new:
            names = [f"{name} (other content)" for name in changed]
            names += [f"{name} (new)" for name in new]
            warnings.append(
                f"{run.name} read other data than {runs[0].name}: {', '.join(names)}. The "
                "figures are comparable only if they cover the same queries and judgements."
            )
        before, after = (
            dict(numbers(side.metrics.get("statistics", {}).get("counts", {})))
            for side in (runs[0], run)
        )
        other = [
            f"{'.'.join(path)} {count or 0:,} and {after[path] or 0:,}"
            for path, count in before.items()
            if path in after and count != after[path]
        ]
        if other:
            both = f"{runs[0].name} and {run.name}"
            more = f"; and of {len(other) - _MAX_NAMED:,} more" if len(other) > _MAX_NAMED else ""
            warnings.append(
                f"Rows behind a figure in {both}: {'; '.join(other[:_MAX_NAMED])}{more}."
            )
    return warnings


def _query_warnings(runs: Sequence[Finished]) -> list[str]:
    """Warn of figures over other queries, because of a limit or of other judgements."""
    first = _queries(runs[0])
    warnings = []
    for run in runs[1:]:
        changed = [
            f"{dataset} ({len(ids)}, not {len(first[dataset])}; {len(ids & first[dataset])} shared)"
            for dataset, ids in _queries(run).items()
            if ids != first.get(dataset, ids)
        ]
        if changed:
            warnings.append(
                f"{run.name} measured other queries than {runs[0].name}: {', '.join(changed)}. "
                "Each figure covers the queries of its own run; only the paired tests cover the "
                "shared ones."
            )
    return warnings


def _queries(run: Finished) -> dict[str, set[str]]:
    """Return dataset -> ids of its queries."""
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
