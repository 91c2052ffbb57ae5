"""What the shapes have in common: how one is read, how one is written, labels, scores, pairs."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from prism_cli.adapters.judges.source_label import SourceLabelJudge
from prism_cli.domain.contradictions import NAMED, Claim, pair_claim, same_text
from prism_cli.errors import RowError, UsageError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import (
    Dropped,
    Row,
    doc_id,
    document_text,
    json_type,
    number_field,
    query_id,
)

GRADES = {False: "0", True: "1"}
"""`source_label` of a document that a shape calls a negative, and a positive."""
TEXT_FIELDS = frozenset({"query", "document", "title"})
LABEL_FIELDS = frozenset({"source_label", "verdict"})
_SCORES = ("source_score", "teacher_score", "score", "logit")
_TEACHERS = "teacher_scores."


@dataclass(frozen=True)
class ScoreField:
    """Where pair rows keep the score that a shape carries.

    Args:
        name: source_score, teacher_score, score, logit, or teacher_scores.NAME.

    Raises:
        UsageError: another name.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _SCORES and not self._teacher:
            raise UsageError(
                f"--score {self.name}: expected one of {', '.join(_SCORES)}, {_TEACHERS}NAME"
            )

    @property
    def row_field(self) -> str:
        """The field of the row that holds it."""
        return "teacher_scores" if self._teacher else self.name

    def of(self, row: Row) -> float | None:
        """The score of a pair row; None where it has none.

        Raises:
            RowError: not a number.
        """
        if not self._teacher:
            return number_field(row, self.name, float("-inf"), float("inf"))
        scores = row.get("teacher_scores")
        if scores is None:
            return None
        if not isinstance(scores, dict):
            raise RowError("teacher_scores", f"expected an object, found {json_type(scores)}")
        return number_field({self.name: scores.get(self._teacher)}, self.name, 0, 1)

    def put(self, row: Row, value: Any, place: str) -> None:
        """Write a foreign score, found at `place`, into a pair row; nothing where it is null.

        Raises:
            RowError: not a number, or one that a teacher's score cannot be.
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
    """What shapes leave to the user.

    Attributes:
        score: name of a `ScoreField`; None for the shape's own choice.
        positive_grade: lowest `source_label` of a positive.
        negatives: negatives in one row of triplets.
        corpus, queries, qrels: the texts and judgements behind the ids of TREC's files.
        tag: names the run in TREC's last column.
    """

    score: str | None = None
    positive_grade: int = 1
    negatives: int = 1
    corpus: Path | None = None
    queries: Path | None = None
    qrels: Path | None = None
    tag: str = "prism"

    def score_field(self, default: str) -> ScoreField:
        """The field that holds the score which a shape carries."""
        return ScoreField(self.score or default)


class Reader:
    """Reads rows of one shape.

    Attributes:
        files: other files that decide the rows.
        plain_lines: True where the input's lines are no JSON rows.
    """

    files: tuple[Path, ...] = ()
    plain_lines = False

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """One line of the input as an object."""
        return decode_row(raw, fields)

    def read(self, row: Row) -> Row | list[Row] | Dropped:
        """The pair row that a foreign row is, or the pair rows that it holds; unchecked.

        Raises:
            RowError: names the foreign field.
        """
        return row


class Writer:
    """Writes pair rows as rows of one shape.

    Attributes:
        grouped: True where adjacent rows of a query become rows together.
        lines: True where the output is lines of text, not JSON.
        outputs: files of the folder that is written, where it is not one file; see `output_of`.
        left_out: field -> how many rows had it, where the shape has no place for it.
        figures: whatever else the summary tells.
        examples: what `count` named first, by figure.
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

    def anew(self) -> Self:
        """The same before its first row: what is written depends on no other output."""
        return type(self)(self._settings)

    def merge(self, other: "Writer") -> None:
        """Add the figures of another output's writer."""
        self.left_out.update(other.left_out)
        self.figures.update(other.figures)
        for figure, named in other.examples.items():
            mine = self.examples.setdefault(figure, [])
            mine += named[: NAMED - len(mine)]

    def check(self, row: Row) -> str | None:
        """Why this pair row, already held to its contract, has no place in the shape; else None.

        Raises:
            RowError: a field that the shape needs is wrong or missing.
        """
        return None

    def claim(self, row: Row, alone: bool) -> Claim:
        """What a checked pair row says of its pair: here all that it holds travels."""
        return pair_claim(row, alone)

    def write(self, rows: list[Row]) -> list[Row]:
        """Foreign rows of one pair row, or of adjacent rows of a query; all were checked."""
        return rows

    def render(self, row: Row) -> bytes:
        """One line of the output, with its end."""
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)

    def output_of(self, row: Row) -> str:
        """The one of `outputs` that a foreign row belongs to."""
        return ""

    def positive(self, row: Row) -> bool | None:
        """By verdict, else by the corpus's label; None where the row has neither.

        Raises:
            RowError: a label that is neither yes nor no nor a grade.
        """
        vote = verdict_field(row) or self._label.vote(row)
        return None if vote is None else vote == "yes"

    def count(self, figure: str, *ids: str) -> None:
        """Count one, and name the first."""
        self.figures[figure] += 1
        named = self.examples.setdefault(figure, [])
        if len(named) < NAMED:
            named.append(" of ".join(ids))

    def label_claim(self, row: Row) -> Claim:
        """The claim of a row of which the shape keeps text and label alone."""
        text = document_text(row)
        answer = {True: "yes", False: "no", None: None}[self.positive(row)]
        return Claim(same_text(text), answer, text)

    def leave_out(self, row: Row, carried: Collection[str]) -> None:
        """Count the fields of `row` that go nowhere."""
        for name, value in row.items():
            if value is not None and name not in carried:
                self.left_out[name] += 1

    def whole_text(self, row: Row) -> str:
        """The document with its title in front, for a shape without titles."""
        if row.get("title"):
            self.figures["titles put before their documents"] += 1
        return document_text(row)


def verdict_field(row: Row) -> str | None:
    """The verdict.

    Raises:
        RowError: it is neither "yes" nor "no" nor null.
    """
    verdict: str | None = row.get("verdict")
    if verdict not in ("yes", "no", None):
        raise RowError("verdict", f'expected "yes", "no" or null, found {json_type(verdict)}')
    return verdict


def make_pair(head: Row, one: Row, common: Row) -> Row:
    """A pair row of a query's part, a document's and what they share, with both ids.

    Args:
        head: query, and query_id where it is known.
        one: document, and what else is known of it.
        common: further fields of the foreign row; the document's own win.
    """
    pair = {"query_id": query_id(head), "query": head["query"], "doc_id": doc_id(one)}
    if "title" in one:
        pair["title"] = one["title"]
    pair["document"] = one["document"]
    return pair | common | {name: one[name] for name in one if name not in pair}


def rest(row: Row, known: Collection[str]) -> Row:
    """The fields of a foreign row that its shape does not know; they travel."""
    return {name: value for name, value in row.items() if name not in known}
