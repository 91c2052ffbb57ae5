"""The rows of the paper's author: {query, document, revised_score, annotated_label, loss_type, …}.

They are pair rows under other names; every other field travels. How the values are spelled is not
published: plausible spellings are read, one is written.
"""

import re
from typing import Any

from prism_cli.adapters.shapes.base import Reader, ShapeSettings, Writer, verdict_field
from prism_cli.domain.objectives import POINTWISE, SFT
from prism_cli.domain.voting import label_vote
from prism_cli.errors import RowError
from prism_cli.rows.row import Row, json_type, number_field

NAMES = {
    "revised_score": "teacher_score",
    "annotated_label": "verdict",
    "loss_type": "objectives",
}
_OBJECTIVES = {
    "sft": [SFT],
    "pointwise": [POINTWISE],
    "hybrid": [POINTWISE, SFT],
    "both": [POINTWISE, SFT],
}
_LOSS_TYPES = {SFT: "sft", POINTWISE: "point-wise"}
_JOIN = "+"


class AuthorReader(Reader):
    """Renames fields in place, so that key order is kept."""

    def read(self, row: Row) -> Row:
        """The pair row.

        Raises:
            RowError: a value that is none of the known spellings, or both names of one field.
        """
        number_field(row, "revised_score", 0, 1)
        found = _renamed(row, NAMES)
        if "verdict" in found:
            found["verdict"] = _verdict(found["verdict"])
        if found.get("objectives") is not None:
            found["objectives"] = _objectives(found["objectives"])
        return found


class AuthorWriter(Writer):
    """Renames back. A title goes before its document, as nobody else's scripts look for it."""

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._names = {ours: theirs for theirs, ours in NAMES.items()}

    def check(self, row: Row) -> str | None:
        """Scores, verdicts and objectives as the row table has them, and no name taken."""
        number_field(row, "teacher_score", 0, 1)
        verdict_field(row)
        chosen = row.get("objectives")
        if chosen is not None and (
            not isinstance(chosen, list) or not all(one in (POINTWISE, SFT) for one in chosen)
        ):
            raise RowError(
                "objectives", f'expected a list of "pointwise" and "sft", found {chosen!r:.80}'
            )
        _renamed(row, self._names)
        return None

    def write(self, rows: list[Row]) -> list[Row]:
        """One for one."""
        return [self._written(row) for row in rows]

    def _written(self, row: Row) -> Row:
        text = self.whole_text(row)
        found = _renamed(row, self._names) | {"document": text}
        found.pop("title", None)
        if row.get("objectives") is not None:
            found["loss_type"] = _JOIN.join(_LOSS_TYPES[one] for one in found["loss_type"])
        return found


def _renamed(row: Row, names: dict[str, str]) -> Row:
    for old, new in names.items():
        if old in row and new in row:
            raise RowError(new, f"stands beside {old!r}, which is the same field")
    return {names.get(name, name): value for name, value in row.items()}


def _verdict(label: Any) -> str | None:
    try:
        return label_vote(label)
    except ValueError:
        raise RowError(
            "annotated_label", f'expected "yes", "no" or null, found {json_type(label)}'
        ) from None


def _objectives(value: Any) -> list[str]:
    """A list of names, or one text: "sft", "point-wise", "hybrid", "point-wise+sft"."""
    parts = re.split(r"[+,;|/&]", value) if isinstance(value, str) and value else value or []
    found: list[str] = []
    for part in parts if isinstance(parts, list) else [parts]:
        name = re.sub(r"[\s_-]", "", part).lower() if isinstance(part, str) else ""
        if name not in _OBJECTIVES:
            raise RowError(
                "loss_type",
                f'expected "sft", "point-wise", both joined by {_JOIN!r}, or a list of them; '
                f"found {value!r:.80}",
            )
        found += _OBJECTIVES[name]
    return found
