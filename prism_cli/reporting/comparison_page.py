"""Report of a comparison, from the result of `comparison.compare`."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from prism_cli.domain.metrics import MAIN_MEASURE
from prism_cli.reporting.answers import CONTEXTS, MEASURES
from prism_cli.reporting.comparison import Comparison, key_figures
from prism_cli.reporting.numbers import number
from prism_cli.reporting.page import Bar, Bars, Cell, Note, Page, Part, Section, Table

_HIGHLIGHTS, _MAX_NAMED, _MAX_CHARACTERS = 4, 3, 300
_DECIMALS = 4
_WORDS = {"f1": "F1", "usd": "US dollars"}
_PARTS = re.compile(r"novelty_|entity_fidelity_|rationale_(recall|precision)$")
"""Figures that are parts of another one, which is shown."""


def page(comparison: Comparison, provenance: Mapping[str, object]) -> Page:
    """Return figures side by side, paired tests, and what else differs."""
    names = " and ".join([", ".join(comparison["runs"][:-1]), comparison["runs"][-1]])
    moves = list(_moves(comparison))
    sections = [_side_by_side(comparison)]
    if comparison["tests"]:
        sections.append(_tests(comparison))
    if spread := shown_spread(comparison):
        sections.append(_spread(spread, comparison["kind"]))
    sections.append(_what_differs(comparison))
    return Page(
        f"Comparison of {names}",
        _headline(moves, comparison),
        tuple(sections),
        tuple(
            (figure, signed(move), f"{new}: {number(after, 3)}; {old}: {number(before, 3)}")
            for figure, new, after, old, before, move in moves[:_HIGHLIGHTS]
        ),
        provenance,
    )


def signed(value: float | None, decimals: int = 3) -> str:
    """Format a difference with its sign."""
    shown = number(value, decimals)
    return f"+{shown}" if value is not None and value > 0 else shown


def words(figure: str) -> str:
    """Return a measure's name for people."""
    return _WORDS.get(figure) or figure.replace("_", " ")


def figure_name(figure: Comparison, kind: str) -> str:
    """Name a figure of an evaluation of this kind; one of answers with its context."""
    if kind == "answers" and figure["figure"] in MEASURES:
        return f"{MEASURES[figure['figure']]} from {CONTEXTS[figure['group']]}"
    return words(figure["figure"])


def tested_name(test: Comparison, kind: str) -> str:
    """Name what a paired test is of: the data set of a ranking, else the figure."""
    if kind == "ranking":
        return str(test["dataset"])
    return figure_name({"group": test["dataset"], "figure": test["measure"]}, kind)


def _moves(comparison: Comparison) -> Iterator[tuple[str, str, float, str, float, float]]:
    """Yield figure, new system, its value, its counterpart, that value, and the difference."""
    columns = comparison["columns"]
    for figure in key_figures(comparison):
        name = figure_name(figure, comparison["kind"])
        for place, move in enumerate(figure["differences"]):
            if move is not None:
                against = columns[place]["against"]
                values = figure["values"]
                yield (
                    name,
                    columns[place]["name"],
                    values[place],
                    columns[against]["name"],
                    values[against],
                    move,
                )


def _headline(
    moves: Sequence[tuple[str, str, float, str, float, float]], comparison: Comparison
) -> str:
    if not moves:
        return "No figure differs, or none can be compared."
    if comparison["kind"] == "answers":
        main = next((move[0] for move in moves if move[0] == "F1 from evidence"), moves[0][0])
        moves = [move for move in moves if move[0] == main]
    ranking = comparison["kind"] == "ranking"
    where = f" ({key_figures(comparison)[0]['group']})" if ranking else ""
    changes = [
        f"{new} {number(after, 3)} against {old} {number(before, 3)} ({signed(move)})"
        for figure, new, after, old, before, move in moves
        if figure == moves[0][0]
    ]
    more = f"; and {len(changes) - _MAX_NAMED} more" if len(changes) > _MAX_NAMED else ""
    name = moves[0][0].capitalize() if comparison["kind"] in ("quality", "labels") else moves[0][0]
    return f"{name}{where}: {'; '.join(changes[:_MAX_NAMED])}{more}."


def _side_by_side(comparison: Comparison) -> Section:
    columns, figures = comparison["columns"], comparison["figures"]
    parts: list[Part] = [Note(text, warning=True) for text in comparison["warnings"]]
    kind: str = comparison["kind"]
    ranking = kind == "ranking"
    if ranking:
        shown = [figure for figure in figures if figure["figure"] == MAIN_MEASURE]
    elif kind == "answers":
        shown = key_figures(comparison)
    else:
        shown = [figure for figure in figures if any(figure["intervals"]) and _is_main(figure)]
    if shown:
        groups = tuple(
            (
                figure["group"] if ranking else figure_name(figure, kind),
                tuple(_bars(figure, columns)),
            )
            for figure in shown
        )
        measure = f"{MAIN_MEASURE}, 95 % intervals" if ranking else "share, 95 % intervals"
        title = f"{MAIN_MEASURE} by data set" if ranking else "Shares with their intervals"
        parts.append(Bars(title, measure, groups, top=1.0))
    if ranking and shown:
        whole = figures[-1]["group"]
        rest = [figure for figure in figures if figure["group"] == whole]
        differences = _table("Differences by set", "set", shown, columns, "group", values=False)
        parts += [differences] if len(differences.columns) > 1 else []
        parts.append(_table(f"All measures, {whole}", "measure", rest, columns, "figure"))
    for group in () if ranking else dict.fromkeys(figure["group"] for figure in figures):
        inside = [
            figure
            for figure in figures
            if figure["group"] == group and any(map(_known, figure["values"]))
        ]
        if not inside:
            continue
        title = f"Answers from {CONTEXTS[group]}" if kind == "answers" else words(group)
        parts.append(_table(title or "Measures", "measure", inside, columns, "figure"))
    explanation = "Differences are to the system of the same name, or position, in the first run."
    return Section("Side by side", explanation, tuple(parts))


def _known(value: float | None) -> bool:
    return value is not None


def _is_main(figure: Comparison) -> bool:
    """Return whether a figure is a share and no part of another; the tables have all others."""
    shares = all(value is None or 0 <= value <= 1 for value in figure["values"])
    return shares and not figure["group"] and not _PARTS.match(figure["figure"])


def _bars(figure: Comparison, columns: Sequence[Comparison]) -> Iterator[Bar]:
    for column, value, span in zip(columns, figure["values"], figure["intervals"], strict=True):
        if value is not None:
            yield Bar(column["name"], value, *(span or (None, None)))


def _table(
    title: str,
    first: str,
    figures: Sequence[Comparison],
    columns: Sequence[Comparison],
    key: str,
    *,
    values: bool = True,
) -> Table:
    """Return a row for each figure: values, if wanted, then differences to the counterparts."""
    compared = [place for place, column in enumerate(columns) if column["against"] is not None]
    named = [column["name"] for column in columns] if values else []
    head = (
        first,
        *named,
        *(
            f"{columns[place]['name']} − {columns[columns[place]['against']]['name']}"
            for place in compared
        ),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            words(figure[key]),
            *(figure["values"] if values else ()),
            *(figure["differences"][place] for place in compared),
        )
        for figure in figures
    ]
    return Table(head, tuple(rows), title, _DECIMALS)


def _tests(comparison: Comparison) -> Section:
    columns, kind = comparison["columns"], comparison["kind"]
    rows: list[tuple[Cell, ...]] = [
        (
            tested_name(test, kind),
            columns[test["column"]]["name"],
            columns[test["against"]]["name"],
            test["queries"],
            test["difference"],
            test["win"],
            test["queries"] - test["win"] - test["loss"],
            test["loss"],
            test["p"],
            test["p_holm"],
        )
        for test in comparison["tests"]
    ]
    head = (
        "set" if kind == "ranking" else "figure",
        "system",
        "against",
        "queries",
        "difference",
        "won",
        "tied",
        "lost",
        "p",
        "p, Holm",
    )
    text = (
        f"Paired permutation tests of {MAIN_MEASURE} over the queries of both runs; Holm over "
        "all rows."
        if kind == "ranking"
        else "Paired permutation tests over the queries, of main figures that cover equally many "
        "rows of each query in both; Holm over all rows."
    )
    return Section(
        "Is the difference more than chance?", text, (Table(head, tuple(rows), "Paired tests"),)
    )


def shown_spread(comparison: Comparison) -> list[Comparison]:
    """Return the spread over the runs of each arm, of MAIN_MEASURE or the key figures."""
    main = {(figure["group"], figure["figure"]) for figure in key_figures(comparison)}
    return [
        entry
        for entry in comparison["spread"]
        if (entry["group"], entry["figure"]) in main or entry["figure"] == MAIN_MEASURE
    ]


def spread_table(spread: Sequence[Comparison], kind: str) -> tuple[list[str], list[list[Cell]]]:
    """Return head and rows of the spread: a column for each run of the arm with most runs."""
    most = max(len(entry["values"]) for entry in spread)
    rows: list[list[Cell]] = [
        [
            " · ".join(filter(None, [entry["group"], figure_name(entry, kind)])),
            entry["arm"],
            entry["mean"],
            entry["sd"],
            *(*entry["values"], *[None] * (most - len(entry["values"]))),
        ]
        for entry in spread
    ]
    return ["figure", "arm", "mean", "sd", *(f"run {n}" for n in range(1, most + 1))], rows


def _spread(spread: Sequence[Comparison], kind: str) -> Section:
    head, rows = spread_table(spread, kind)
    text = (
        "The runs of an arm differ in their seed. Intervals and tests above cover the choice of "
        "the queries; this standard deviation (n − 1) shows the choice of the seed."
    )
    table = Table(tuple(head), tuple(map(tuple, rows)), "By run", _DECIMALS)
    return Section("Runs of each arm", text, (table,))


def _what_differs(comparison: Comparison) -> Section:
    differs = comparison["differs"]
    if not differs:
        return Section("What differs", "Settings, versions, files and models are the same.", ())
    rows = tuple((name, *map(_shown, values)) for name, values in differs.items())
    text = (
        "Settings, versions, files by SHA-256 and models by fingerprint; what is not listed is the "
        "same in all."
    )
    return Section("What differs", text, (Table(("", *comparison["runs"]), rows, "By run"),))


def _shown(value: object) -> Cell:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + "…"
