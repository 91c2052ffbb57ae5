"""Conversion of rows between shapes, through pair rows.

A foreign row is read as pair rows; pair rows are written one by one, or the adjacent rows of a
query together. The adapters of the shapes map the names of fields. Only a document that the target
cannot represent is dropped; a pair with two answers is dropped with all its rows; see
`domain/contradictions.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from prism_cli.domain.contradictions import NAMED, PairAnswer
from prism_cli.domain.trec import RankOrder
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome
from prism_cli.rows.contract import check_contract
from prism_cli.rows.row import Dropped, Row, check_one_text, check_pair, doc_id, query_key
from prism_cli.rows.row_reader import RowReader
from prism_cli.shards.spill import SeenTexts
from prism_cli.stages.pair_filter import PairFilter

_UNWRITTEN = "documents that the shape cannot hold"


class RowWriter(Protocol):
    """Writes one shape, and counts values that it cannot represent.

    Attributes:
        grouped: True if adjacent rows of a query are written together.
        lines: True if the output is lines of text, not JSON.
        outputs: files of a folder, if the shape is one; () for a single output.
    """

    left_out: Counter[str]
    figures: Counter[str]
    examples: dict[str, list[str]]
    grouped: bool
    lines: bool
    outputs: tuple[str, ...]

    def output_of(self, row: Row) -> str:
        """Return which of `outputs` a written row belongs to."""

    def check(self, row: Row) -> str | None:
        """Return why the shape cannot represent a pair row; else None."""

    def comparable_answer(self, row: Row, alone: bool) -> PairAnswer:
        """Return the answer of a checked pair row, in this shape."""

    def write(self, rows: list[Row]) -> list[Row]:
        """Return the foreign rows of checked pair rows, one or the adjacent ones of a query."""

    def render(self, row: Row) -> bytes:
        """Return one line of the output."""


class ConvertStage(RowStage):
    """Reads one shape and writes another."""

    name: ClassVar[str] = "convert"
    counted = ("_writer", "_unwritten", "_pair_filter", "_groups", "_number", "_ranks")

    def __init__(self, reader: RowReader, writer: RowWriter) -> None:
        self._reader = reader
        self.plain_lines = reader.plain_lines
        self.text_output = writer.lines
        self._writer = writer
        self.outputs = writer.outputs
        self._unwritten: list[str] = []
        self._pair_filter = PairFilter()
        self._groups = SeenTexts()
        self._number = 0
        self._ranks = RankOrder()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Decode a row of the input's shape."""
        return self._reader.decode(raw, fields)

    def work(self, row: Row) -> Outcome:
        """Return the pair rows that the target can represent; `arrange` writes them."""
        if self.plain_lines and "rank" in row:
            location = "{}:{}".format(*self.location)
            self._ranks.note(row["query_id"], row["rank"], row["score"], location)
        contents = self._reader.read(row)
        if isinstance(contents, Dropped):
            if self.location[1] > 1:
                raise RowError("", f"found {contents.reason}; only a file's first line may be one")
            return contents
        alone = isinstance(contents, dict)
        pairs: list[Row] = [contents] if isinstance(contents, dict) else contents
        check_one_text(pairs)
        accepted: list[Row] = []
        drop_reasons: dict[int, str] = {}
        errors: list[tuple[Row, RowError]] = []
        reason = "no documents"
        for pair in pairs:
            try:
                check_pair(pair)
                check_contract(pair)
                reason_to_drop = self._writer.check(pair)
            except RowError as error:
                errors.append((pair, error))
                continue
            if reason_to_drop is not None:
                reason = reason_to_drop
                drop_reasons[id(pair)] = reason_to_drop
            accepted.append(pair)
        if errors and len(accepted) == len(drop_reasons):
            raise errors[0][1]
        for pair, problem in errors:
            self._note_unwritten(pair, problem)
        if not alone and len(accepted) == len(drop_reasons):
            return Dropped(reason)
        self._pair_filter.note(accepted, self.location, alone=alone, dropped=drop_reasons)
        return accepted[0] if alone else accepted

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row | Dropped]:
        """Convert pair rows to rows of the target."""
        for group in self._pair_filter.among(rows, self._writer.comparable_answer):
            kept: list[Row] = []
            for row in group:
                if isinstance(row, Dropped):
                    yield row
                else:
                    kept.append(row)
            if kept:
                yield from self._written(kept)

    def render(self, row: Row) -> bytes:
        """Render a row of the target's shape."""
        return self._writer.render(row)

    def output_of(self, row: Row) -> str:
        """Return the output file of a row of the target's shape."""
        return self._writer.output_of(row)

    def summary(self) -> dict[str, object]:
        """Return what the target could not represent, by field and by reason."""
        counts = {
            "pairs left out": self._pair_filter.left_out,
            "fields left out": self._writer.left_out,
            "also": self._writer.figures,
        }
        figures: dict[str, object] = {name: dict(count) for name, count in counts.items() if count}
        figures |= self._pair_filter.figures()
        figures |= {
            f"{name}, such as": ", ".join(ids) for name, ids in self._writer.examples.items()
        }
        if self._unwritten:
            figures[f"{_UNWRITTEN}, such as"] = "; ".join(self._unwritten[:NAMED])
        if self._writer.figures["groups of a query that came before"]:
            figures["hint"] = "--sort-queries puts the rows of a query together"
        if self._ranks.warning:
            figures["warning"] = self._ranks.warning
        return figures

    def _written(self, rows: list[Row]) -> Iterator[Row]:
        if not self._writer.grouped:
            for row in rows:
                yield from self._writer.write([row])
            return
        self._number += 1
        if self._groups.conflicts(query_key(rows[0]), str(self._number).encode()):
            self._writer.figures["groups of a query that came before"] += 1
        yield from self._writer.write(rows)

    def _note_unwritten(self, pair: Row, error: RowError) -> None:
        self._pair_filter.left_out[_UNWRITTEN] += 1
        if len(self._unwritten) < NAMED:
            file, line = self.location
            self._unwritten.append(f"{file}:{line}, document {doc_id(pair)!r}: {error}")
