"""Training data sets of sentence-transformers: pairs, triplets, and labelled pairs.

Its trainers treat every column except the label as text, so nothing else is written. Readers also
accept the names in `_QUERY` and `_DOCUMENT`, and keep further columns.
"""

import re
from collections.abc import Sequence

from prism_cli.adapters.shapes.base import (
    GRADES,
    LABEL_FIELDS,
    TEXT_FIELDS,
    LabelWriter,
    Reader,
    ShapeSettings,
    make_pair,
    rest,
)
from prism_cli.domain.contradictions import PairAnswer, same_text
from prism_cli.errors import RowError
from prism_cli.rows.row import Row, document_text, json_type, string_field

_QUERY = ("anchor", "query", "sentence1")
_DOCUMENT = ("sentence2", "document", "positive")
_NEGATIVE = re.compile(r"negative(?:_([0-9]+))?")


class TripletReader(Reader):
    """Reads a positive and any number of negatives: positive, negative or negative_1, …"""

    def read(self, row: Row) -> list[Row]:
        """Return the positive's pair, then the negatives' pairs by number.

        Raises:
            RowError: a column is missing or not a string.
        """
        query = _only_column(row, _QUERY)
        negatives = sorted(
            (int(match[1] or 0), name)
            for name, text in row.items()
            if text is not None and (match := _NEGATIVE.fullmatch(name))
        )
        columns = ["positive", *(name for _, name in negatives)]
        known = [name for name in row if name in columns or _NEGATIVE.fullmatch(name)]
        common = rest(row, [query, "query_id", *known])
        head = _head(row, query)
        return [
            make_pair(
                head,
                {
                    "document": string_field(row, name),
                    "source_label": GRADES[name == "positive"],
                },
                common,
            )
            for name in columns
        ]


class ScoredReader(Reader):
    """Reads a pair with `label` or `score`: integers and strings are the corpus's label, floats are
    scores.

    Args:
        settings: `score` is the field for floats; source_score by default.
    """

    def __init__(self, settings: ShapeSettings) -> None:
        self._score = settings.score_field("source_score")

    def read(self, row: Row) -> Row:
        """Return the pair.

        Raises:
            RowError: a column is missing or of the wrong type.
        """
        query, document = _only_column(row, _QUERY), _only_column(row, _DOCUMENT)
        column = _only_column(row, ("label", "score"))
        value = row[column]
        fields: Row = {"document": string_field(row, document)}
        if isinstance(value, float) or column == "score":
            self._score.put(fields, value, column)
        elif isinstance(value, int | str):
            fields["source_label"] = str(int(value)) if isinstance(value, int) else value
        else:
            raise RowError(column, f"expected a label or a number, found {json_type(value)}")
        common = rest(row, [query, "query_id", document, column])
        return make_pair(_head(row, query), fields, common)


class PairWriter(LabelWriter):
    """Writes {anchor, positive} for each positive."""

    def check(self, row: Row) -> str | None:
        """Accept positives only."""
        return super().check(row) or (None if self.positive(row) else "negative")

    def written(self, row: Row) -> Row:
        """Return the row."""
        self.leave_out(row, TEXT_FIELDS | LABEL_FIELDS)
        return {"anchor": row["query"], "positive": self.whole_text(row)}


class TripletWriter(LabelWriter):
    """Writes {anchor, positive, negative}, or negative_1 to negative_N; all rows have the same
    columns.

    Each positive is combined with each negative once. With N negatives per row, the last row of a
    positive is filled up from the first ones; a query with fewer than N has no row.
    """

    grouped = True

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._width = settings.negatives

    def write(self, rows: list[Row]) -> list[Row]:
        """Return the rows of one query."""
        positives = [self.whole_text(row) for row in rows if self.positive(row)]
        negatives = [self.whole_text(row) for row in rows if not self.positive(row)]
        for row in rows:
            self.leave_out(row, TEXT_FIELDS | LABEL_FIELDS)
        if not positives or len(negatives) < self._width:
            missing = f"{self._width} negatives" if positives else "a positive"
            self.figures[f"queries without {missing}, left out"] += 1
            return []
        query = rows[0]["query"]
        return [
            {"anchor": query, "positive": positive} | self._columns(chunk)
            for positive in positives
            for chunk in _chunks(negatives, self._width)
        ]

    def _columns(self, negatives: Sequence[str]) -> Row:
        if self._width == 1:
            return {"negative": negatives[0]}
        return {f"negative_{number}": text for number, text in enumerate(negatives, 1)}


class ScoredWriter(LabelWriter):
    """Writes {sentence1, sentence2, score} if a score was requested, else `label`: 1 or 0."""

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._score = settings.score_field(settings.score) if settings.score else None

    def check(self, row: Row) -> str | None:
        """Check the score, or the label."""
        if self._score is not None:
            return None if self._score.of(row) is not None else f"no {self._score.name}"
        return super().check(row)

    def comparable_answer(self, row: Row, alone: bool) -> PairAnswer:
        """Return an answer made of text and score, or of text and label without scores."""
        if self._score is None:
            return super().comparable_answer(row, alone)
        text = document_text(row)
        return PairAnswer(same_text(text), self._score.of(row), text)

    def written(self, row: Row) -> Row:
        """Return the row with its score or label."""
        texts: Row = {"sentence1": row["query"], "sentence2": self.whole_text(row)}
        if self._score is not None:
            self.leave_out(row, TEXT_FIELDS | {self._score.row_field})
            return texts | {"score": self._score.of(row)}
        self.leave_out(row, TEXT_FIELDS | LABEL_FIELDS)
        return texts | {"label": int(bool(self.positive(row)))}


def _only_column(row: Row, names: Sequence[str]) -> str:
    """Return the only one of `names` that the row has.

    Raises:
        RowError: the row has none of them, or several.
    """
    present = [name for name in names if name in row]
    if len(present) != 1:
        found = " and ".join(present) or "none of them"
        field = present[-1] if present else names[0]
        raise RowError(field, f"expected {' or '.join(names)}: {found}")
    return present[0]


def _head(row: Row, query: str) -> Row:
    head = {"query": string_field(row, query, blank=False)}
    if string_field(row, "query_id", required=False):
        head["query_id"] = row["query_id"]
    return head


def _chunks(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Split `texts` into chunks of `size`; fill up the last one from the first texts."""
    padded = [*texts, *texts[: -len(texts) % size]]
    return [padded[start : start + size] for start in range(0, len(texts), size)]
