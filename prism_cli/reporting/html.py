"""Render a report as one HTML file without scripts or external resources; output is reproducible.

jinja2 passes every value through `_finished` (`finalize`), which escapes markup and invisible
characters, so no text can be forgotten.
"""

import base64
import hashlib
import importlib.resources
import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prism_cli.reporting.charts import draw, page_colours
from prism_cli.reporting.colours import stylesheet
from prism_cli.reporting.figure_text import NARROW
from prism_cli.reporting.numbers import behind, cell, is_number_column
from prism_cli.reporting.page import (
    Bars,
    Excerpts,
    Lines,
    Note,
    Page,
    Part,
    Table,
)
from prism_cli.reporting.sanitize import escape_invisible, one_line

_LONGEST_TEXT = 20_000
_MOST_ROWS = 2_000


def render_page(page: Page) -> bytes:
    """Return the content of the file, UTF-8.

    Raises:
        MissingPackageError: matplotlib or jinja2 is not installed.
    """
    import jinja2
    from markupsafe import Markup

    folder = importlib.resources.files("prism_cli.reporting")
    style = stylesheet() + (folder / "page.css").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_finished,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["line"] = lambda text, limit=300: one_line(text, limit)
    template = environment.from_string((folder / "page.html.jinja").read_text("utf-8"))
    colours = page_colours(part for section in page.sections for part in section.parts)
    counts = {"Figure": 0, "Table": 0}
    sections = [
        {
            "ident": f"section-{number}",
            "title": section.title,
            "words": section.words,
            "parts": [_view(part, counts, colours) for part in section.parts],
        }
        for number, section in enumerate(page.sections, 1)
    ]
    return template.render(
        page=page,
        sections=sections,
        provenance=_provenance(page.provenance),
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    ).encode()


def _finished(value: object) -> object:
    """Escape a value of the template, unless it is markup made here."""
    from markupsafe import Markup, escape

    if isinstance(value, Markup):
        return value
    text = str(value)
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + f" … ({len(text) - _LONGEST_TEXT:,} more characters)"
    safe = escape_invisible(str(escape(text)), '<small class="hidden">{}</small>'.format)
    return Markup(safe)  # escaped above; a mark is code points alone


def _view(part: Part, counts: dict[str, int], colours: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the template needs for a part."""
    from markupsafe import Markup

    if isinstance(part, Note):
        return {"kind": "note", "text": part.text, "warning": part.warning}
    if isinstance(part, Excerpts):
        return {"kind": "excerpts", "title": part.title, "excerpts": part.excerpts}
    if isinstance(part, Bars) and sum(len(bars) for _, bars in part.groups) == 1:
        part = replace(behind(part), title=part.title)  # one bar needs no figure
    numbers = behind(part) if not isinstance(part, Table) else part
    if isinstance(part, Lines) and not part.scatter:
        part = _without_lone_points(part)
    if isinstance(part, Table):
        return {"kind": "table", "name": _numbered("Table", counts), **_table(part)}
    name = _numbered("Figure", counts)
    ident = name.lower().replace(" ", "-")
    return {
        "kind": "figure",
        "name": name,
        "title": part.title,
        "svg": Markup(draw(part, ident, colours).decode()),
        "narrow": Markup(draw(part, f"{ident}-narrow", colours, NARROW).decode()),
        "table": _table(numbers),
    }


def _without_lone_points(part: Lines) -> Lines | Table:
    """Describe curves of one point in the title; if there are no others, return a table."""
    lone = [line for line in part.lines if len(line.points) == 1]
    curves = tuple(line for line in part.lines if len(line.points) > 1)
    if lone and not curves:
        return replace(behind(part), title=part.title)
    points = [
        f"{line.name or part.y}: {y:.{part.decimals}f} at {part.x} {x:.6g}, the only point"
        for line in lone
        for x, y in line.points
    ]
    return replace(part, lines=curves, title="; ".join([part.title, *points])) if lone else part


def _numbered(kind: str, counts: dict[str, int]) -> str:
    counts[kind] += 1
    return f"{kind} {counts[kind]}"


def _table(table: Table) -> dict[str, Any]:
    rows = table.rows[:_MOST_ROWS]
    right = [
        is_number_column([row[place] for row in rows if place < len(row)])
        for place in range(len(table.columns))
    ]
    return {
        "title": table.title,
        "columns": list(zip(table.columns, right, strict=True)),
        "rows": [
            [
                (cell(value, table.decimals), to_right)
                for value, to_right in zip(row, right, strict=False)
            ]
            for row in rows
        ],
        "left_out": len(table.rows) - len(rows),
    }


def _provenance(content: Mapping[str, object]) -> dict[str, Any]:
    """Return the command as one line, pairs of name and value, and all else as JSON."""
    known = ("command", "versions", "files", "models")
    command = content.get("command", ())
    return {
        "command": shlex.join(map(str, command)) if isinstance(command, list | tuple) else "",
        "pairs": [
            (title, [(str(name), str(value)) for name, value in values.items()])
            for title in known[1:]
            if isinstance(values := content.get(title), Mapping) and values
        ],
        "rest": [
            (name, json.dumps(value, indent=2, ensure_ascii=False, default=str))
            for name, value in content.items()
            if name not in known
        ],
    }
