"""Rows of one shape to rows of another, through pair rows.

A foreign row is read as pair rows; pair rows are written one by one, or the adjacent rows of a
query together. Which fields have which names is the business of the shapes' adapters. A document
that the target cannot hold is left out alone; a pair with two answers is left out with all its
rows; see `domain/contradictions.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

from prism_cli.domain.contradictions import NAMED, Claim
from prism_cli.domain.trec import RankOrder
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome, RowReader
from prism_cli.rows.contract import check_contract
from prism_cli.rows.row import Dropped, Row, check_one_text, check_pair, doc_id, query_key
from prism_cli.shards.spill import SeenTexts
from prism_cli.stages.settled_pairs import SettledPairs

_UNWRITTEN = "documents that the shape cannot hold"


class RowWriter(Protocol):
    """Writes one shape, and counts what has no place in it."""

    left_out: Counter[str]
    figures: Counter[str]
    examples: dict[str, list[str]]

    @property
    def grouped(self) -> bool:
        """Whether adjacent rows of a query are written together."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Files of a folder, where the shape is one; () for a single output."""

    def output_of(self, row: Row) -> str:
        """The one of `outputs` that a written row belongs to."""

    def check(self, row: Row) -> str | None:
        """Why a pair row has no place in the shape at all; else None."""

    def claim(self, row: Row, alone: bool) -> Claim:
        """What a checked pair row says of its pair, in this shape."""

    def write(self, rows: list[Row]) -> list[Row]:
        """Foreign rows of checked pair rows: of one, or of the adjacent ones of a query."""

    def render(self, row: Row) -> bytes:
        """One line of the output."""


class ConvertStage(RowStage):
    """Reads one shape and writes another."""

    name: ClassVar[str] = "convert"
    counted = ("_writer", "_unwritten", "_settled", "_groups", "_number", "_ranks")

    def __init__(self, reader: RowReader, writer: RowWriter) -> None:
        self._reader = reader
        self.plain_lines = reader.plain_lines
        self._writer = writer
        self.outputs = writer.outputs
        self._unwritten: list[str] = []
        self._settled = SettledPairs()
        self._groups = SeenTexts()
        self._number = 0
        self._ranks = RankOrder()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """As the shape has it."""
        return self._reader.decode(raw, fields)

    def work(self, row: Row) -> Outcome:
        """The pair rows that the target takes; `arrange` writes them."""
        if self.plain_lines and "rank" in row:
            place = "{}:{}".format(*self.place)
            self._ranks.note(row["query_id"], row["rank"], row["score"], place)
        found = self._reader.read(row)
        if isinstance(found, Dropped):
            return found
        alone = isinstance(found, dict)
        pairs: list[Row] = [found] if isinstance(found, dict) else found
        check_one_text(pairs)
        passed: list[Row] = []
        unfit: dict[int, str] = {}
        errors: list[tuple[Row, RowError]] = []
        reason = "no documents"
        for pair in pairs:
            try:
                check_pair(pair)
                check_contract(pair)
                why = self._writer.check(pair)
            except RowError as error:
                errors.append((pair, error))
                continue
            if why is not None:
                reason = why
                unfit[id(pair)] = why
            passed.append(pair)
        if errors and len(passed) == len(unfit):
            raise errors[0][1]
        for pair, problem in errors:
            self._note_unwritten(pair, problem)
        if not alone and len(passed) == len(unfit):
            return Dropped(reason)
        self._settled.note(passed, self.place, alone=alone, unfit=unfit)
        return passed[0] if alone else passed

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row | Dropped]:
        """Pair rows as rows of the target."""
        for group in self._settled.among(rows, self._writer.claim):
            kept: list[Row] = []
            for row in group:
                if isinstance(row, Dropped):
                    yield row
                else:
                    kept.append(row)
            if kept:
                yield from self._written(kept)

    def render(self, row: Row) -> bytes:
        """As the shape has it."""
        return self._writer.render(row)

    def output_of(self, row: Row) -> str:
        """As the shape has it."""
        return self._writer.output_of(row)

    def summary(self) -> dict[str, object]:
        """What had no place in the target, by field and by reason."""
        told = {
            "pairs left out": self._settled.left_out,
            "fields left out": self._writer.left_out,
            "also": self._writer.figures,
        }
        figures: dict[str, object] = {name: dict(count) for name, count in told.items() if count}
        figures |= self._settled.figures()
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
        self._settled.left_out[_UNWRITTEN] += 1
        if len(self._unwritten) < NAMED:
            file, line = self.place
            self._unwritten.append(f"{file}:{line}, document {doc_id(pair)!r}: {error}")
