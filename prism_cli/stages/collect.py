"""Rows of other shapes to pair rows with ids, for the stages that follow.

A row that holds several documents is spread: one pair each. Pair rows pass as they are.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar

from prism_cli.domain.voting import label_vote
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome, RowReader
from prism_cli.rows.adjacent import once
from prism_cli.rows.row import Dropped, Row, check_pair, document_text

_COUNTED = {"yes": "positives", "no": "negatives", None: "documents without a label"}


class CollectStage(RowStage):
    """Spreads lists of documents into pairs.

    Args:
        reader: knows the fields of the input.
        source: written as `source` where a row has none; None to leave it out.
    """

    name: ClassVar[str] = "collect"

    def __init__(self, reader: RowReader, source: str | None = None) -> None:
        self._reader = reader
        self.plain_lines = reader.plain_lines
        self._source = source
        self._figures: Counter[str] = Counter()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """As the shape has it."""
        return self._reader.decode(raw, fields)

    def work(self, row: Row) -> Outcome:
        """The pairs of one row."""
        found = self._reader.read(row)
        if isinstance(found, Dropped):
            return found
        if isinstance(found, dict):
            self._figures["pairs as they were"] += 1
            return self._with_source(found)
        pairs = self._worth_keeping(found)
        return list(map(self._with_source, pairs)) or Dropped("no positive")

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Each pair once, where the shape repeats them."""
        return once(rows, self._figures) if self._reader.repeats else rows

    def summary(self) -> dict[str, object]:
        """How many of each."""
        return {"pairs": dict(self._figures)} if self._figures else {}

    def _with_source(self, pair: Row) -> Row:
        check_pair(pair)
        if self._source is not None:
            pair.setdefault("source", self._source)
        return pair

    def _worth_keeping(self, pairs: list[Row]) -> list[Row]:
        """Without negatives that say what a positive says; nothing where all are negatives."""
        votes = [_vote(pair) for pair in pairs]
        if set(votes) <= {"no"}:
            return []
        known = {_same(pair) for pair, vote in zip(pairs, votes, strict=True) if vote == "yes"}
        kept = []
        for pair, vote in zip(pairs, votes, strict=True):
            if vote == "no" and _same(pair) in known:
                self._figures["negatives equal to a positive, left out"] += 1
            else:
                kept.append(pair)
                self._figures[_COUNTED[vote]] += 1
        return kept


def _vote(pair: Row) -> str | None:
    try:
        return label_vote(pair.get("source_label"))
    except ValueError as error:
        raise RowError("source_label", f"{error}, found {pair['source_label']!r:.40}") from None


def _same(pair: Row) -> str:
    return " ".join(document_text(pair).split()).casefold()
