"""Writers of TREC's files: a run and judgements."""

from itertools import pairwise
from math import inf

from prism_cli.adapters.shapes.base import LABEL_FIELDS, LabelWriter, ShapeSettings, Writer
from prism_cli.domain.contradictions import PairAnswer
from prism_cli.domain.trec import (
    check_trec_id,
    falling_scores,
    render_judgement,
    render_run_line,
)
from prism_cli.errors import RowError, UsageError
from prism_cli.rows.adjacent import MAX_GROUP_ROWS
from prism_cli.rows.number import number_in
from prism_cli.rows.order import best_first
from prism_cli.rows.row import Row, doc_id, number_field, query_id
from prism_cli.shards.spill import SeenTexts


class RunWriter(Writer):
    """Writes a line per pair row, best first within the adjacent rows of a query.

    The order is the reranker's, see `best_first`, or that of another field for the score. Scores
    are strictly decreasing, see `falling_scores`. A repeated document is written once, at its best
    rank.
    """

    grouped = True
    lines = True

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._score = settings.score_field("score")
        self._tag = settings.tag
        self._queries = SeenTexts()
        self._number = 0
        if self._tag.split() != [self._tag]:
            raise UsageError(f"--tag {self._tag!r}: a run's tag has no blanks")

    def check(self, row: Row) -> str | None:
        """Check ids, which must not contain blanks, and the score."""
        check_ids(row)
        number_field(row, "rank", 1, inf)
        number_field(row, "logit", -inf, inf)
        if self._score.of(row) is None:
            raise RowError(self._score.name, "expected a score; --score names another field")
        return None

    def comparable_answer(self, row: Row, alone: bool) -> PairAnswer:
        """Return an empty answer: a run has no labels, and `write` handles repetitions."""
        return PairAnswer(id(row), None)

    def write(self, rows: list[Row]) -> list[Row]:
        """Return the lines of one query.

        Raises:
            UsageError: rows of the query were written before.
        """
        query = query_id(rows[0])
        self._number += 1
        if self._queries.conflicts(query.encode(), str(self._number).encode()):
            raise UsageError(
                f"query {query!r}: a run has one list a query, and its rows do not stand together "
                f"(--sort-queries puts them so), differ in the query's text, or are more than "
                f"{MAX_GROUP_ROWS}"
            )
        for row in rows:
            self.leave_out(row, _ID_FIELDS | {self._score.row_field, "rank"})
        best: dict[str, Row] = {}
        own = self._score.name in ("score", "logit")
        for row in best_first(rows, self._score_of, own=own):
            if best.setdefault(doc_id(row), row) is not row:
                self.count(
                    "documents that stood twice for a query, written once", doc_id(row), query
                )
        scores = [self._score_of(row) for row in best.values()]
        written = falling_scores(scores)
        if any(score > before for before, score in pairwise(scores)):
            self.count("queries whose scores go against rank or logit, which were followed", query)
        lowered = sum(before != after for before, after in zip(scores, written, strict=True))
        if lowered:
            self.figures["equal scores lowered to keep the order"] += lowered
        return [
            {"query_id": query, "doc_id": name, "rank": rank, "score": score}
            for rank, (name, score) in enumerate(zip(best, written, strict=True), 1)
        ]

    def render(self, row: Row) -> bytes:
        """Return the line."""
        return f"{render_run_line(**row, tag=self._tag)}\n".encode()

    def _score_of(self, row: Row) -> float:
        return self._score.of(row) or 0.0


class QrelsWriter(LabelWriter):
    """Writes a judgement per pair row: 1 or 0 by its verdict, else the grade of its label.

    A repeated pair is written once, or not at all if its grades differ.
    """

    lines = True

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._judged = SeenTexts()

    def check(self, row: Row) -> str | None:
        """Check ids, which must not contain blanks, and the label."""
        check_ids(row)
        return super().check(row)

    def comparable_answer(self, row: Row, alone: bool) -> PairAnswer:
        """Return an answer made of document id and grade."""
        return PairAnswer(doc_id(row), self._grade(row))

    def write(self, rows: list[Row]) -> list[Row]:
        """Return a judgement per row; raise as `judgements` does."""
        for row in rows:
            self.leave_out(row, _ID_FIELDS | LABEL_FIELDS)
        return self.judgements(rows)

    def judgements(self, rows: list[Row]) -> list[Row]:
        """Return query_id, doc_id and grade of rows with a label.

        Raises:
            UsageError: the pair was written with another grade, in another group of its query.
        """
        judgements = []
        for row in rows:
            query, document, grade = query_id(row), doc_id(row), self._grade(row)
            if self._judged.conflicts(f"{query}\0{document}".encode(), str(grade).encode()):
                raise UsageError(
                    f"query {query!r}, document {document!r}: judged {grade} "
                    "here, and otherwise before, among rows that do not stand together; "
                    "--sort-queries puts them together, and such pairs are then left out"
                )
            judgements.append({"query_id": query, "doc_id": document, "grade": grade})
        return judgements

    def render(self, row: Row) -> bytes:
        """Return the line."""
        return f"{render_judgement(**row)}\n".encode()

    def _grade(self, row: Row) -> int | None:
        label = number_in(str(row.get("source_label")))
        if not row.get("verdict") and label is not None and label.is_integer():
            return int(label)
        positive = self.positive(row)
        return None if positive is None else int(positive)


_ID_FIELDS = frozenset({"query_id", "doc_id", "query", "title", "document"})
"""Ids, and the texts that the corpus holds under them."""


def check_ids(row: Row) -> None:
    """Check that TREC's files can hold the ids.

    Raises:
        RowError: an id contains blanks or is empty; names the field.
    """
    check_trec_id("query_id", query_id(row))
    check_trec_id("doc_id", doc_id(row))
