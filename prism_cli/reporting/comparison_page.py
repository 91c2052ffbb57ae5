"""The report of a comparison, from what `comparison.compare` found."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prism_cli.domain.metrics import PRIMARY
from prism_cli.reporting.numbers import number
from prism_cli.reporting.page import Bar, Bars, Cell, Note, Page, Part, Section, Table

_KEY_FIGURES = (
    PRIMARY, "answer_retention", "rationale_recall", "rationale_precision", "wrong_yes_rate",
    "entity_fidelity", "verdict_accuracy", "alpha",
)  # fmt: skip
"""What the top of the page shows of those that are there."""
_HIGHLIGHTS, _TOLD, _LONGEST = 4, 3, 300
_DECIMALS = 4
_PARTS = re.compile(r"novelty_|entity_fidelity_|rationale_(recall|precision)$")
"""Figures whose whole is shown."""

Found = Mapping[str, Any]


def page(found: Found, provenance: Mapping[str, object]) -> Page:
    """Figures side by side, whether the differences are chance, and what else differs."""
    names = " and ".join([", ".join(found["runs"][:-1]), found["runs"][-1]])
    moves = list(_moves(found))
    sections = [_side_by_side(found)]
    if found["tests"]:
        sections.append(_tests(found))
    sections.append(_what_differs(found))
    return Page(
        f"Comparison of {names}",
        _headline(moves, found),
        tuple(sections),
        tuple(
            (figure, signed(move), f"{new}: {number(after, 3)}; {old}: {number(before, 3)}")
            for figure, new, after, old, before, move in moves[:_HIGHLIGHTS]
        ),
        provenance,
    )


def signed(value: float | None, decimals: int = 3) -> str:
    """A difference with its sign."""
    shown = number(value, decimals)
    return f"+{shown}" if value is not None and value > 0 else shown


def words(figure: str) -> str:
    """A measure's name for people."""
    return figure.replace("_", " ")


def key_figures(found: Found) -> list[Found]:
    """The few that stand for all: of a ranking the average, else what is best known by people."""
    figures: list[Found] = found["figures"]
    if found["kind"] == "ranking":
        primary = [one for one in figures if one["figure"] == PRIMARY]
        return primary[-1:]
    known = [
        one
        for name in _KEY_FIGURES
        for one in figures
        if (one["figure"], one["group"]) == (name, "")
    ]
    return known or figures[:1]


def _moves(found: Found) -> Iterator[tuple[str, str, float, str, float, float]]:
    """figure, new system, its value, its counterpart, that one's value, difference."""
    columns = found["columns"]
    for figure in key_figures(found):
        for place, move in enumerate(figure["differences"]):
            if move is not None:
                against = columns[place]["against"]
                values = figure["values"]
                yield (
                    words(figure["figure"]),
                    columns[place]["name"],
                    values[place],
                    columns[against]["name"],
                    values[against],
                    move,
                )


def _headline(moves: Sequence[tuple[str, str, float, str, float, float]], found: Found) -> str:
    if not moves:
        return "No figure differs, or none can be compared."
    ranking = found["kind"] == "ranking"
    where = f" ({key_figures(found)[0]['group']})" if ranking else ""
    told = [
        f"{new} {number(after, 3)} against {old} {number(before, 3)} ({signed(move)})"
        for figure, new, after, old, before, move in moves
        if figure == moves[0][0]
    ]
    more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    name = moves[0][0] if ranking else moves[0][0].capitalize()
    return f"{name}{where}: {'; '.join(told[:_TOLD])}{more}."


def _side_by_side(found: Found) -> Section:
    columns, figures = found["columns"], found["figures"]
    parts: list[Part] = [Note(told, warning=True) for told in found["warnings"]]
    ranking = found["kind"] == "ranking"
    if ranking:
        shown = [one for one in figures if one["figure"] == PRIMARY]
    else:
        shown = [one for one in figures if any(one["intervals"]) and _is_main(one)]
    if shown:
        groups = tuple(
            (one["group"] if ranking else words(_full(one)), tuple(_bars(one, columns)))
            for one in shown
        )
        measure = f"{PRIMARY}, 95 % intervals" if ranking else "share, 95 % intervals"
        title = f"{PRIMARY} by data set" if ranking else "Shares with their intervals"
        parts.append(Bars(title, measure, groups, top=1.0))
    if ranking and shown:
        whole = figures[-1]["group"]
        rest = [one for one in figures if one["group"] == whole]
        differences = _table("Differences by set", "set", shown, columns, "group", values=False)
        parts += [differences] if len(differences.columns) > 1 else []
        parts.append(_table(f"All measures, {whole}", "measure", rest, columns, "figure"))
    for group in () if ranking else dict.fromkeys(one["group"] for one in figures):
        inside = [
            one for one in figures if one["group"] == group and any(map(_known, one["values"]))
        ]
        if not inside:
            continue
        parts.append(_table(words(group) or "Measures", "measure", inside, columns, "figure"))
    told = "Differences are to the same system in the first run, or to the one at its place there."
    return Section("Side by side", told, tuple(parts))


def _full(figure: Found) -> str:
    return f"{figure['figure']}, {figure['group']}" if figure["group"] else str(figure["figure"])


def _known(value: float | None) -> bool:
    return value is not None


def _is_main(figure: Found) -> bool:
    """A share that is no part of another: all else stands in the tables."""
    shares = all(value is None or 0 <= value <= 1 for value in figure["values"])
    return shares and not figure["group"] and not _PARTS.match(figure["figure"])


def _bars(figure: Found, columns: Sequence[Found]) -> Iterator[Bar]:
    for column, value, span in zip(columns, figure["values"], figure["intervals"], strict=True):
        if value is not None:
            yield Bar(column["name"], value, *(span or (None, None)))


def _table(
    title: str,
    first: str,
    figures: Sequence[Found],
    columns: Sequence[Found],
    key: str,
    *,
    values: bool = True,
) -> Table:
    """A line a figure: the values, where wanted, then the differences of who has a counterpart."""
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
            words(one[key]),
            *(one["values"] if values else ()),
            *(one["differences"][place] for place in compared),
        )
        for one in figures
    ]
    return Table(head, tuple(rows), title, _DECIMALS)


def _tests(found: Found) -> Section:
    columns = found["columns"]
    rows: list[tuple[Cell, ...]] = [
        (
            one["dataset"],
            columns[one["column"]]["name"],
            columns[one["against"]]["name"],
            one["queries"],
            one["difference"],
            one["win"],
            one["queries"] - one["win"] - one["loss"],
            one["loss"],
            one["p"],
            one["p_holm"],
        )
        for one in found["tests"]
    ]
    head = (
        "set",
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
    said = (
        f"Paired permutation tests of {PRIMARY} over the queries of both runs; Holm over all lines."
    )
    return Section(
        "Is the difference more than chance?", said, (Table(head, tuple(rows), "Paired tests"),)
    )


def _what_differs(found: Found) -> Section:
    differs = found["differs"]
    if not differs:
        return Section("What differs", "Settings, versions, files and models are the same.", ())
    rows = tuple((name, *map(_shown, values)) for name, values in differs.items())
    said = (
        "Settings, versions, files by SHA-256 and models by fingerprint; what is not listed is the "
        "same in all."
    )
    return Section("What differs", said, (Table(("", *found["runs"]), rows, "By run"),))


def _shown(value: object) -> Cell:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
