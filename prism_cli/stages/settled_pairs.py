"""Pair rows without repetitions and contradictions among the adjacent rows of a query."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import NamedTuple

from prism_cli.domain.contradictions import NAMED, Claim, name_contradictions, settle
from prism_cli.rows.adjacent import adjacent
from prism_cli.rows.row import Dropped, Row, document_text, query_key
from prism_cli.shards.spill import SeenTexts

_SHOWN_CHARACTERS = 40
"""Of a document, where a contradiction is named."""


class SettledPairs:
    """Holds the rows that a stage makes against the rule of `settle`.

    Attributes:
        left_out: how many of the rows that came as a list, by reason. A row that was alone on its
            line counts as dropped instead.
    """

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._named: list[str] = []
        self._said = SeenTexts()
        self._apart = 0
        self._named_apart: list[str] = []
        self._origins: dict[int, _Origin] = {}

    def note(
        self,
        pairs: list[Row],
        place: tuple[str, int],
        *,
        alone: bool,
        unfit: Mapping[int, str] | None = None,
    ) -> None:
        """Remember where these rows come from, until `among` has passed them.

        Args:
            unfit: id() of a row -> why it is left out in any case; what it says counts all the
                same.
        """
        for one in pairs:
            self._origins[id(one)] = _Origin(place, alone, unfit.get(id(one)) if unfit else None)

    def among(
        self, rows: Iterator[Row], claim: Callable[[Row, bool], Claim]
    ) -> Iterator[list[Row | Dropped]]:
        """The rows in groups of one query, as they were noted, less those that do not stay."""
        for group in adjacent(rows):
            origins = [self._origins.pop(id(row)) for row in group]
            claims = [claim(row, one.alone) for row, one in zip(group, origins, strict=True)]
            reasons = settle(claims)
            query = query_key(group[0])
            if any(reasons) and len(self._named) < NAMED:
                places = [one.words(row) for row, one in zip(group, origins, strict=True)]
                self._named += name_contradictions(reasons, claims, places)
            found: list[Row | Dropped] = []
            for row, one, reason, origin in zip(group, claims, reasons, origins, strict=True):
                if reason is None:
                    self._hold_against_others(query, row, one, origin)
                reason = reason or origin.unfit
                if reason is None:
                    found.append(row)
                elif origin.alone:
                    found.append(Dropped(reason))
                else:
                    self.left_out[reason] += 1
            yield found

    def merge(self, other: "SettledPairs") -> None:
        """Add the figures of another shard."""
        self.left_out.update(other.left_out)
        self._named += other._named
        self._apart += other._apart
        self._named_apart += other._named_apart[: NAMED - len(self._named_apart)]

    def figures(self) -> dict[str, object]:
        """For the summary: contradictory pairs by name; {} where all rows stay."""
        found: dict[str, object] = {}
        if self._named:
            found["contradictory, such as"] = "; ".join(self._named[:NAMED])
        if self._apart:
            found["pairs that contradict rows which stand apart, kept"] = self._apart
            found["contradicted apart, such as"] = "; ".join(self._named_apart)
            found["rows that stand apart"] = (
                "only adjacent rows of a query are held against each other; prism convert "
                "--sort-queries puts them together"
            )
        return found

    def _hold_against_others(self, query: bytes, row: Row, claim: Claim, origin: "_Origin") -> None:
        """Count a row that contradicts one of another group, which is written already."""
        if claim.answer is None:
            return
        key = blake2b(repr(claim.pair).encode(), key=query, digest_size=16).digest()
        said = self._said.first(key, f"{claim.answer}\0{origin.words(row)}".encode()).decode()
        answer, _, words = said.partition("\0")
        if answer != str(claim.answer):
            self._apart += 1
            if len(self._named_apart) < NAMED:
                name = f"{words} ({answer}) and {origin.words(row)} ({claim.answer})"
                self._named_apart.append(name)


class _Origin(NamedTuple):
    place: tuple[str, int]
    alone: bool
    unfit: str | None

    def words(self, row: Row) -> str:
        """Where the row stands, and how its document begins."""
        file, line = self.place
        return f"{file}:{line} {document_text(row)[:_SHOWN_CHARACTERS]!r}"
