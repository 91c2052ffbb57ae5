"""The rows of the paper's author: {query, document, revised_score, annotated_label, loss_type, …}.

They are pair rows under other names; all other fields are kept. The spelling of the values is not
published: several plausible spellings are read, and one is written.
"""

import re
from typing import Any

from prism_cli.adapters.shapes.base import Reader, ShapeSettings, Writer
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
    """Renames the author's fields to ours, keeping the order of keys."""

    def read(self, row: Row) -> Row:
        """Return the pair row.

        Raises:
            RowError: a value has an unknown spelling, or a field is present under both names.
        """
        number_field(row, "revised_score", 0, 1)
        pair = _renamed(row, NAMES)
        if "verdict" in pair:
            pair["verdict"] = _verdict(pair["verdict"])
        if pair.get("objectives") is not None:
            pair["objectives"] = _objectives(pair["objectives"])
        return pair


class AuthorWriter(Writer):
    """Renames our fields to the author's, and puts titles in front of documents."""

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._names = {ours: theirs for theirs, ours in NAMES.items()}

    def check(self, row: Row) -> str | None:
        """Check that no new name is in use."""
        _renamed(row, self._names)
        return None

    def written(self, row: Row) -> Row:
        """Return the author's row."""
        text = self.whole_text(row)
        written = _renamed(row, self._names) | {"document": text}
        written.pop("title", None)
        if row.get("objectives") is not None:
            written["loss_type"] = _JOIN.join(_LOSS_TYPES[name] for name in written["loss_type"])
        return written


def _renamed(row: Row, names: dict[str, str]) -> Row:
    for old, new in names.items():
        if old in row and new in row:
            raise RowError(new, f"present together with {old!r}, which is the same field")
    return {names.get(name, name): value for name, value in row.items()}


def _verdict(label: Any) -> str | None:
    try:
        return label_vote(label)
    except ValueError:
        raise RowError(
            "annotated_label", f'expected "yes", "no" or null, found {json_type(label)}'
        ) from None


def _objectives(value: Any) -> list[str]:
    """Parse a list of names, or a string: "sft", "point-wise", "hybrid", "point-wise+sft"."""
    parts = re.split(r"[+,;|/&]", value) if isinstance(value, str) and value else value or []
    objectives: list[str] = []
    for part in parts if isinstance(parts, list) else [parts]:
        name = re.sub(r"[\s_-]", "", part).lower() if isinstance(part, str) else ""
        if name not in _OBJECTIVES:
            raise RowError(
                "loss_type",
                f'expected "sft", "point-wise", both joined by {_JOIN!r}, or a list of them; '
                f"found {value!r:.80}",
            )
        objectives += _OBJECTIVES[name]
    return objectives
