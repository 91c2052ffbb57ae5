"""Rows of other shapes to pair rows with ids, for the later stages.

A row with several documents becomes one pair each. Pair rows are unchanged. A pair with two answers
among the adjacent rows of its query is dropped; see `domain/contradictions.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar

from prism_cli.domain.contradictions import comparable_answer, same_text
from prism_cli.domain.grades import ImplausibleGradeError
from prism_cli.domain.voting import label_vote
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome
from prism_cli.rows.contract import check_contract
from prism_cli.rows.fields import MARKED
from prism_cli.rows.row import Dropped, Row, check_one_text, check_pair, document_text
from prism_cli.rows.row_reader import RowReader
from prism_cli.stages.pair_filter import PairFilter

_COUNTED = {"yes": "positives", "no": "negatives", None: "documents without a label"}


class CollectStage(RowStage):
    """Converts lists of documents to pairs.

    Args:
        reader: reads the shape of the input.
        source: value of `source` for rows without one; None for no value.
    """

    name: ClassVar[str] = "collect"
    counted = ("_figures", "_pair_filter")

    def __init__(self, reader: RowReader, source: str | None = None) -> None:
        self._reader = reader
        self.plain_lines = reader.plain_lines
        self._source = source
        self._figures: Counter[str] = Counter()
        self._pair_filter = PairFilter()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """Decode a row of the input's shape."""
        return self._reader.decode(raw, fields)

    def work(self, row: Row) -> Outcome:
        """Return the pairs of one row."""
        contents = self._reader.read(row)
        if isinstance(contents, Dropped):
            return contents
        if isinstance(contents, dict):
            pair = self._with_source(contents)
            self._figures["pairs as they were"] += 1
            self._pair_filter.note([pair], self.location, alone=True)
            return pair
        check_one_text(contents)
        pairs = [self._with_source(pair) for pair in self._without_false_negatives(contents)]
        self._pair_filter.note(pairs, self.location, alone=False)
        return pairs or Dropped("no positive" if contents else "no documents")

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row | Dropped]:
        """Drop repeated and contradictory pairs among the adjacent rows of a query."""
        for group in self._pair_filter.among(rows, comparable_answer):
            yield from group

    def summary(self) -> dict[str, object]:
        """Return the counts by kind."""
        counts = {"pairs": self._figures, "pairs left out": self._pair_filter.left_out}
        figures: dict[str, object] = {name: dict(count) for name, count in counts.items() if count}
        return figures | self._pair_filter.figures()

    def _with_source(self, pair: Row) -> Row:
        check_pair(pair)
        check_contract(pair)
        _vote(pair)
        if self._source is not None:
            pair.setdefault("source", self._source)
        return pair

    def _without_false_negatives(self, pairs: list[Row]) -> list[Row]:
        """Drop mined negatives with the text of a positive, since they are unjudged. Return no pair
        if all are unmarked negatives."""
        votes = [_vote(pair) for pair in pairs]
        if set(votes) <= {"no"} and all(pair.get("negative") != MARKED for pair in pairs):
            return []
        positives = {_same(pair) for pair, vote in zip(pairs, votes, strict=True) if vote == "yes"}
        kept = []
        for pair, vote in zip(pairs, votes, strict=True):
            if vote == "no" and "negative" in pair and _same(pair) in positives:
                self._figures["mined negatives equal to a positive, left out"] += 1
            else:
                kept.append(pair)
                self._figures[_COUNTED[vote]] += 1
        return kept


def _vote(pair: Row) -> str | None:
    """Return the vote of the pair's label; None without one, or for one that is not a grade."""
    try:
        return label_vote(pair.get("source_label"))
    except ImplausibleGradeError as error:
        raise RowError("source_label", f"{error}, found {pair['source_label']!r:.40}") from None
    except ValueError:
        return None


def _same(pair: Row) -> str:
    return same_text(document_text(pair))
