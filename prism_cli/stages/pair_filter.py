"""Filter for repeated and contradictory pair rows among the adjacent rows of a query."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

from prism_cli.domain.contradictions import NAMED, PairAnswer, drop_reasons, name_contradictions
from prism_cli.rows.adjacent import adjacent
from prism_cli.rows.row import Dropped, Row, document_text, query_key
from prism_cli.shards.spill import SeenTexts

_SHOWN_CHARACTERS = 40
"""Length of a document's beginning in the description of a contradiction."""


class PairFilter:
    """Applies `drop_reasons` to the rows that a stage writes.

    Attributes:
        left_out: number of dropped rows of input rows with several documents, by reason. A row
            that was a single input row is returned as Dropped instead.
    """

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._named: list[str] = []
        self._first_answers = SeenTexts()
        self._apart = 0
        self._named_apart: list[str] = []
        self._origins: dict[int, _Origin] = {}

    def note(
        self,
        pairs: list[Row],
        location: tuple[str, int],
        *,
        alone: bool,
        dropped: Mapping[int, str] | None = None,
    ) -> None:
        """Remember the origin of these rows, until `among` has processed them.

        Args:
            dropped: id() of a row -> why it is dropped in any case; its answer still counts for
                contradictions.
        """
        for pair in pairs:
            self._origins[id(pair)] = _Origin(
                location, alone, dropped.get(id(pair)) if dropped else None
            )

    def among(
        self, rows: Iterator[Row], answer_of: Callable[[Row, bool], PairAnswer]
    ) -> Iterator[list[Row | Dropped]]:
        """Yield the rows in groups of one query, in the order of `note`, without dropped ones."""
        for group in adjacent(rows):
            origins = [self._origins.pop(id(row)) for row in group]
            answers = [
                answer_of(row, origin.alone) for row, origin in zip(group, origins, strict=True)
            ]
            reasons = drop_reasons(answers)
            query = query_key(group[0])
            if any(reasons) and len(self._named) < NAMED:
                places = [origin.words(row) for row, origin in zip(group, origins, strict=True)]
                self._named += name_contradictions(reasons, answers, places)
            kept: list[Row | Dropped] = []
            for row, row_answer, reason, origin in zip(
                group, answers, reasons, origins, strict=True
            ):
                if reason is None:
                    self._compare_with_others(query, row, row_answer, origin)
                reason = reason or origin.drop_reason
                if reason is None:
                    kept.append(row)
                elif origin.alone:
                    kept.append(Dropped(reason))
                else:
                    self.left_out[reason] += 1
            yield kept

    def merge(self, other: "PairFilter") -> None:
        """Add the figures of another shard."""
        self.left_out.update(other.left_out)
        self._named += other._named
        self._apart += other._apart
        self._named_apart += other._named_apart[: NAMED - len(self._named_apart)]

    def figures(self) -> dict[str, object]:
        """Return figures for the summary: contradictory pairs by name; {} if all are kept."""
        figures: dict[str, object] = {}
        if self._named:
            figures["contradictory, such as"] = "; ".join(self._named[:NAMED])
        if self._apart:
            figures["pairs that contradict rows which stand apart, kept"] = self._apart
            figures["contradicted apart, such as"] = "; ".join(self._named_apart)
            figures["rows that stand apart"] = (
                "only adjacent rows of a query are held against each other; prism convert "
                "--sort-queries puts them together"
            )
        return figures

    def _compare_with_others(
        self, query: bytes, row: Row, pair_answer: PairAnswer, origin: "_Origin"
    ) -> None:
        """Count a row that contradicts one of another group, which is written already."""
        if pair_answer.answer is None:
            return
        key = blake2b(repr(pair_answer.pair).encode(), key=query, digest_size=16).digest()
        first = self._first_answers.first(
            key, f"{pair_answer.answer}\0{origin.words(row)}".encode()
        ).decode()
        first_answer, _, words = first.partition("\0")
        if first_answer != str(pair_answer.answer):
            self._apart += 1
            if len(self._named_apart) < NAMED:
                name = f"{words} ({first_answer}) and {origin.words(row)} ({pair_answer.answer})"
                self._named_apart.append(name)


class _Origin(NamedTuple):
    location: tuple[str, int]
    alone: bool
    drop_reason: str | None

    def words(self, row: Row) -> str:
        """Return the location of the row and the beginning of its document."""
        file, line = self.location
        return f"{file}:{line} {document_text(row)[:_SHOWN_CHARACTERS]!r}"
