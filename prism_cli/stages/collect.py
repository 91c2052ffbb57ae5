"""Rows of other shapes to pair rows with ids, for the stages that follow.

A row that holds several documents is spread: one pair each. Pair rows pass as they are. A pair that
has two answers among the adjacent rows of its query is left out; see `domain/contradictions.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar

from prism_cli.domain.contradictions import pair_claim, same_text
from prism_cli.domain.grades import ImplausibleGradeError
from prism_cli.domain.voting import label_vote
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome, RowReader
from prism_cli.rows.contract import check_contract
from prism_cli.rows.fields import MARKED
from prism_cli.rows.row import Dropped, Row, check_one_text, check_pair, document_text
from prism_cli.stages.settled_pairs import SettledPairs

_COUNTED = {"yes": "positives", "no": "negatives", None: "documents without a label"}


class CollectStage(RowStage):
    """Spreads lists of documents into pairs.

    Args:
        reader: knows the fields of the input.
        source: written as `source` where a row has none; None to leave it out.
    """

    name: ClassVar[str] = "collect"
    counted = ("_figures", "_settled")

    def __init__(self, reader: RowReader, source: str | None = None) -> None:
        self._reader = reader
        self.plain_lines = reader.plain_lines
        self._source = source
        self._figures: Counter[str] = Counter()
        self._settled = SettledPairs()

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """As the shape has it."""
        return self._reader.decode(raw, fields)

    def work(self, row: Row) -> Outcome:
        """The pairs of one row."""
        found = self._reader.read(row)
        if isinstance(found, Dropped):
            return found
        if isinstance(found, dict):
            pair = self._with_source(found)
            self._figures["pairs as they were"] += 1
            self._settled.note([pair], self.place, alone=True)
            return pair
        check_one_text(found)
        pairs = [self._with_source(one) for one in self._worth_keeping(found)]
        self._settled.note(pairs, self.place, alone=False)
        return pairs or Dropped("no positive" if found else "no documents")

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row | Dropped]:
        """Each pair once, and none that has two answers, among the adjacent rows of a query."""
        for group in self._settled.among(rows, pair_claim):
            yield from group

    def summary(self) -> dict[str, object]:
        """How many of each."""
        told = {"pairs": self._figures, "pairs left out": self._settled.left_out}
        figures: dict[str, object] = {name: dict(count) for name, count in told.items() if count}
        return figures | self._settled.figures()

    def _with_source(self, pair: Row) -> Row:
        check_pair(pair)
        check_contract(pair)
        try:
            label_vote(pair.get("source_label"))
        except ImplausibleGradeError as error:
            raise _bad_label(pair, error) from None
        except ValueError:
            pass  # labels that are no grades travel
        if self._source is not None:
            pair.setdefault("source", self._source)
        return pair

    def _worth_keeping(self, pairs: list[Row]) -> list[Row]:
        """Without mined negatives that say what a positive says, as nobody judged those; nothing
        where all are negatives that nobody marked."""
        votes = [_vote(pair) for pair in pairs]
        if set(votes) <= {"no"} and all(pair.get("negative") != MARKED for pair in pairs):
            return []
        known = {_same(pair) for pair, vote in zip(pairs, votes, strict=True) if vote == "yes"}
        kept = []
        for pair, vote in zip(pairs, votes, strict=True):
            if vote == "no" and "negative" in pair and _same(pair) in known:
                self._figures["mined negatives equal to a positive, left out"] += 1
            else:
                kept.append(pair)
                self._figures[_COUNTED[vote]] += 1
        return kept


def _vote(pair: Row) -> str | None:
    try:
        return label_vote(pair.get("source_label"))
    except ValueError as error:
        raise _bad_label(pair, error) from None


def _bad_label(pair: Row, error: ValueError) -> RowError:
    return RowError("source_label", f"{error}, found {pair['source_label']!r:.40}")


def _same(pair: Row) -> str:
    return same_text(document_text(pair))
