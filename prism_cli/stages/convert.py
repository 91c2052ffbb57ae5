"""Rows of one shape to rows of another, through pair rows.

A foreign row is read as pair rows; pair rows are written one by one, or the adjacent rows of a
query together. Which fields have which names is the business of the shapes' adapters.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from prism_cli.engine.stage import RowStage
from prism_cli.ports import Outcome, RowReader
from prism_cli.rows.adjacent import adjacent, once
from prism_cli.rows.row import Dropped, Row, check_pair, query_key
from prism_cli.shards.spill import SeenTexts


class RowWriter(Protocol):
    """Writes one shape, and counts what has no place in it."""

    left_out: Counter[str]
    figures: Counter[str]

    @property
    def grouped(self) -> bool:
        """Whether adjacent rows of a query are written together."""

    def check(self, row: Row) -> str | None:
        """Why a pair row has no place in the shape at all; else None."""

    def write(self, rows: list[Row]) -> list[Row]:
        """Foreign rows of checked pair rows: of one, or of the adjacent ones of a query."""

    def render(self, row: Row) -> bytes:
        """One line of the output."""


class ConvertStage(RowStage):
    """Reads one shape and writes another."""

    name: ClassVar[str] = "convert"

    def __init__(self, reader: RowReader, writer: RowWriter) -> None:
        self._reader = reader
        self.plain_lines = reader.plain_lines
        self._writer = writer
        self._pairs: Counter[str] = Counter()
        self._groups = SeenTexts()
        self._number = 0

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """As the shape has it."""
        return self._reader.decode(raw, fields)

    def work(self, row: Row) -> Outcome:
        """The pair rows that the target takes; `arrange` writes them."""
        found = self._reader.read(row)
        if isinstance(found, Dropped):
            return found
        kept, reason = [], "no documents"
        for pair in found if isinstance(found, list) else [found]:
            check_pair(pair)
            why = self._writer.check(pair)
            if why is None:
                kept.append(pair)
            else:
                reason = why
                self._pairs[why] += 1
        return kept or Dropped(reason)

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Pair rows as rows of the target."""
        if self._reader.repeats:
            rows = once(rows, self._pairs)
        if not self._writer.grouped:
            for row in rows:
                yield from self._writer.write([row])
            return
        for group in adjacent(rows):
            self._number += 1
            if self._groups.conflicts(query_key(group[0]), str(self._number).encode()):
                self._writer.figures["groups of a query that came before"] += 1
            yield from self._writer.write(group)

    def render(self, row: Row) -> bytes:
        """As the shape has it."""
        return self._writer.render(row)

    def summary(self) -> dict[str, object]:
        """What had no place in the target, by field and by reason."""
        told = {
            "pairs left out": self._pairs,
            "fields left out": self._writer.left_out,
            "also": self._writer.figures,
        }
        figures: dict[str, object] = {name: dict(count) for name, count in told.items() if count}
        if self._writer.figures["groups of a query that came before"]:
            figures["hint"] = "--sort-queries puts the rows of a query together"
        return figures
