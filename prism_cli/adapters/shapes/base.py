"""Base classes and helpers of the shapes: readers, writers, labels, scores, pairs."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from prism_cli.domain.contradictions import NAMED, PairAnswer, comparable_answer, same_text
from prism_cli.domain.source_labels import SourceLabelJudge
from prism_cli.errors import UsageError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import (
    Dropped,
    Row,
    doc_id,
    document_text,
    number_field,
    query_id,
)

GRADES = {False: "0", True: "1"}
"""`source_label` of a negative and of a positive document of a shape."""
TEXT_FIELDS = frozenset({"query", "document", "title"})
LABEL_FIELDS = frozenset({"source_label", "verdict"})
_SCORES = ("source_score", "teacher_score", "score", "logit")
_TEACHERS = "teacher_scores."


@dataclass(frozen=True)
class ScoreField:
    """The field of pair rows for the score of a shape.

    Args:
        name: source_score, teacher_score, score, logit, or teacher_scores.NAME.

    Raises:
        UsageError: `name` is none of these.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _SCORES and not self._teacher:
            raise UsageError(
                f"--score {self.name}: expected one of {', '.join(_SCORES)}, {_TEACHERS}NAME"
            )

    @property
    def row_field(self) -> str:
        """Name of the row's field that holds the score."""
        return "teacher_scores" if self._teacher else self.name

    def of(self, row: Row) -> float | None:
        """Return the score of a pair row; None if it has none.

        Raises:
            RowError: the score is not a number.
        """
        if not self._teacher:
            return number_field(row, self.name, float("-inf"), float("inf"))
        scores: dict[str, float | None] = row.get("teacher_scores") or {}
        return scores.get(self._teacher)

    def put(self, row: Row, value: Any, place: str) -> None:
        """Write a foreign score from the field `place` into a pair row, unless it is null.

        Raises:
            RowError: the score is not a number, or a teacher's score is outside [0, 1].
        """
        low, high = (0, 1) if self.name.startswith("teacher") else (float("-inf"), float("inf"))
        if number_field({place: value}, place, low, high) is None:
            return
        if self._teacher:
            row["teacher_scores"] = {**(row.get("teacher_scores") or {}), self._teacher: value}
        else:
            row[self.name] = value

    @property
    def _teacher(self) -> str:
        return self.name.removeprefix(_TEACHERS) if self.name.startswith(_TEACHERS) else ""


@dataclass(frozen=True)
class ShapeSettings:
    """User settings of shapes.

    Attributes:
        score: name of a `ScoreField`; None for the shape's default.
        positive_grade: lowest `source_label` of a positive.
        negatives: negatives per row of triplets.
        corpus: texts of the document ids of TREC's files.
        queries: texts of the query ids of TREC's files.
        qrels: judgements of the pairs of TREC's files.
        tag: name of the run in TREC's last column.
    """

    score: str | None = None
    positive_grade: int = 1
    negatives: int = 1
    corpus: Path | None = None
    queries: Path | None = None
    qrels: Path | None = None
    tag: str = "prism"

    def score_field(self, default: str) -> ScoreField:
        """Return the field of the shape's score."""
        return ScoreField(self.score or default)


class Reader:
    """Reads rows of one shape.

    Attributes:
        files: other files that the rows depend on.
        plain_lines: True if the input's lines are not JSON rows.
    """

    files: tuple[Path, ...] = ()
    plain_lines = False

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Decode one line of the input into an object."""
        return decode_row(raw, fields)

    def read(self, row: Row) -> Row | list[Row] | Dropped:
        """Return the pair row or rows of a foreign row, unchecked.

        Raises:
            RowError: the row is invalid; names the foreign field.
        """
        return row


class Writer:
    """Writes pair rows as rows of one shape.

    Attributes:
        grouped: True if adjacent rows of a query are written together.
        lines: True if the output is lines of text, not JSON.
        outputs: files of the output folder, if the output is not one file; see `output_of`.
        left_out: number of rows by field that the shape cannot hold.
        figures: further figures of the summary.
        examples: first examples by figure, see `count`.
    """

    grouped = False
    lines = False
    outputs: tuple[str, ...] = ()

    def __init__(self, settings: ShapeSettings) -> None:
        self.left_out: Counter[str] = Counter()
        self.figures: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self._settings = settings
        self._label = SourceLabelJudge("source", settings.positive_grade)

    def new_copy(self) -> Self:
        """The same before its first row: what is written depends on no other output."""
        return type(self)(self._settings)

    def merge(self, other: "Writer") -> None:
        """Add the figures of another output's writer."""
        self.left_out.update(other.left_out)
        self.figures.update(other.figures)
        for figure, examples in other.examples.items():
            mine = self.examples.setdefault(figure, [])
            mine += examples[: NAMED - len(mine)]

    def check(self, row: Row) -> str | None:
        """Return why the shape cannot hold this valid pair row, else None.

        Raises:
            RowError: a field that the shape needs is wrong or missing.
        """
        return None

    def comparable_answer(self, row: Row, alone: bool) -> PairAnswer:
        """Return the answer of a checked pair row about its pair; here it covers all fields."""
        return comparable_answer(row, alone)

    def write(self, rows: list[Row]) -> list[Row]:
        """Return the foreign rows of one pair row, or of adjacent rows of a query, all checked."""
        return [self.written(row) for row in rows]

    def written(self, row: Row) -> Row:
        """Return the foreign row of a pair row; only for shapes with a row per pair row."""
        return row

    def render(self, row: Row) -> bytes:
        """Return one line of the output, with its line end."""
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)

    def output_of(self, row: Row) -> str:
        """Return which of `outputs` a foreign row belongs to."""
        return ""

    def positive(self, row: Row) -> bool | None:
        """Return True for a positive by verdict, else by the corpus's label; None without both.

        Raises:
            RowError: the label is neither a grade nor yes or no.
        """
        vote = row.get("verdict") or self._label.vote(row)
        return None if vote is None else vote == "yes"

    def count(self, figure: str, *ids: str) -> None:
        """Add one to a figure, and record the ids of the first examples."""
        self.figures[figure] += 1
        examples = self.examples.setdefault(figure, [])
        if len(examples) < NAMED:
            examples.append(" of ".join(ids))

    def leave_out(self, row: Row, carried: Collection[str]) -> None:
        """Count the fields of `row` that are not written."""
        for name, value in row.items():
            if value is not None and name not in carried:
                self.left_out[name] += 1

    def whole_text(self, row: Row) -> str:
        """Return the document with its title in front, for a shape without titles."""
        if row.get("title"):
            self.figures["titles put before their documents"] += 1
        return document_text(row)


class LabelWriter(Writer):
    """Writes rows of a shape that keeps only text and label; rows without a label do not fit."""

    def check(self, row: Row) -> str | None:
        """Check the label."""
        return "no label and no verdict" if self.positive(row) is None else None

    def comparable_answer(self, row: Row, alone: bool) -> PairAnswer:
        """Return an answer made of text and label."""
        text = document_text(row)
        answer = {True: "yes", False: "no", None: None}[self.positive(row)]
        return PairAnswer(same_text(text), answer, text)


def make_pair(head: Row, document: Row, common: Row) -> Row:
    """Return a pair row from the fields of a query and a document, with both ids.

    Args:
        head: query, and query_id if known.
        document: document, and its other fields.
        common: further fields of the foreign row; the document's own fields take precedence.
    """
    pair = {"query_id": query_id(head), "query": head["query"], "doc_id": doc_id(document)}
    if "title" in document:
        pair["title"] = document["title"]
    pair["document"] = document["document"]
    return pair | common | {name: document[name] for name in document if name not in pair}


def rest(row: Row, known: Collection[str]) -> Row:
    """Return the fields of a foreign row that its shape does not define; they are kept."""
    return {name: value for name, value in row.items() if name not in known}
