"""Survey of the sample stage: the rows of every stratum, and from them the cutoffs."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby, islice
from typing import Any, Self

import orjson

from prism_cli.domain.length_caps import LengthCaps
from prism_cli.domain.sampling import (
    bin_of,
    equal_shares,
    labelled_and_web,
    paper_shares,
)
from prism_cli.domain.seeded_sample import seeded_hash
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import MissingDataError
from prism_cli.rows.row import Row, doc_id, query_id
from prism_cli.shards.spill import Spill

Stratum = tuple[str, int]
"""Source ("" where it is ignored) and score bin."""


@dataclass
class Cutoff:
    """A position in the order of keys: rows before `key` are kept, and `ties` equal to it."""

    key: bytes
    ties: int

    def include(self, key: bytes) -> None:
        """Advance by one row; keys arrive in order."""
        self.ties = self.ties + 1 if key == self.key else 1
        self.key = key

    def keeps(self, key: bytes) -> bool:
        """Return whether the next row with this key is kept."""
        if key != self.key:
            return key < self.key
        self.ties -= 1
        return self.ties >= 0


@dataclass
class Quotas:
    """Result of the survey.

    Attributes:
        before: rows with a score, by source and bin.
        counts: rows that the length limits leave, by stratum.
        quotas: rows to keep, by stratum.
        cutoffs: of the strata that have more rows.
        origin_cutoffs: of the labelled (False) or web (True) rows, where they are reduced.
        notes: figures for the summary.
    """

    before: Counter[Stratum] = field(default_factory=Counter)
    counts: Counter[Stratum] = field(default_factory=Counter)
    quotas: dict[Stratum, int] = field(default_factory=dict)
    cutoffs: dict[Stratum, Cutoff] = field(default_factory=dict)
    origin_cutoffs: dict[bool, Cutoff] = field(default_factory=dict)
    notes: dict[str, object] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        """Return the quotas for `from_bytes`."""
        tables = [
            [[*stratum, count] for stratum, count in table.items()]
            for table in (self.before, dict(sorted(self.counts.items())), self.quotas)
        ]
        cutoffs = [[*name, cut.key.hex(), cut.ties] for name, cut in self.cutoffs.items()]
        origins = [[web, cut.key.hex(), cut.ties] for web, cut in self.origin_cutoffs.items()]
        return orjson.dumps([*tables, cutoffs, origins, self.notes])

    @classmethod
    def from_bytes(cls, result: bytes) -> Self:
        """Return the quotas of `as_bytes`."""
        *tables, cutoffs, origins, notes = orjson.loads(result)
        before, counts, quotas = (
            {(source, index): count for source, index, count in table} for table in tables
        )
        return cls(
            Counter(before),
            Counter(counts),
            quotas,
            {(name, index): Cutoff(bytes.fromhex(key), n) for name, index, key, n in cutoffs},
            {web: Cutoff(bytes.fromhex(key), ties) for web, key, ties in origins},
            notes,
        )


@dataclass(frozen=True)
class SampleSurvey:
    """Counts and keys of all rows; arguments as for `SampleStage`."""

    size: int | None
    bins: int
    lengths: LengthCaps | None
    web: Collection[str]
    seed: int

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return the number of rows and, by source and bin, that of rows with a score and the keys
        of those within the length limits."""
        seen = 0
        strata: dict[Stratum, list[Any]] = {}
        for *_, row in rows:
            seen += 1
            score = self.score(row)
            if score is None:
                continue
            name = row.get("source") or "", bin_of(score, self.bins)
            stratum = strata.setdefault(name, [0, []])
            stratum[0] += 1
            if self.lengths is None or not self.lengths.drop_reason(row):
                stratum[1].append(self.key(row).hex())
        return orjson.dumps([seen, [[*name, *stratum] for name, stratum in strata.items()]])

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return `Quotas`.

        Raises:
            MissingDataError: there are rows, but none has a score.
        """
        found = Quotas()
        keys = Spill("source TEXT, bin INTEGER, key BLOB")
        seen = 0

        def entries() -> Iterator[tuple[Any, ...]]:
            nonlocal seen
            for part in parts:
                rows, strata = orjson.loads(part)
                seen += rows
                for source, index, count, kept in strata:
                    found.before[source, index] += count
                    if kept:
                        stratum = self.stratum(source, index)
                        found.counts[stratum] += len(kept)
                        yield from ((*stratum, bytes.fromhex(key)) for key in kept)

        keys.fill("INSERT INTO spill VALUES (?, ?, ?)", entries())
        if seen and not found.before:
            raise MissingDataError(
                f"none of {seen:,} rows has a teacher_score, which the sample is balanced by; "
                "`prism distill IN -o OUT --teacher st:minilm` writes it"
            )
        self._set_shares(found)
        origin_quotas = self._origin_quotas(found)
        shrunk = Spill("key BLOB")
        shrunk.fill("INSERT INTO spill VALUES (?)", self._cut(found, keys, origin_quotas))
        for web, quota in origin_quotas.items():
            cutoff = found.origin_cutoffs[web] = Cutoff(b"", 0)
            for (key,) in shrunk.rows("SELECT key FROM spill ORDER BY key LIMIT ?", (quota,)):
                cutoff.include(key)
        return found.as_bytes()

    def score(self, row: Row) -> float | None:
        """Return the score that is balanced: teacher_score; for the paper's rule the raw mean."""
        if self.size is None and (scores := row.get("teacher_scores")):
            numbers = [score for score in scores.values() if score is not None]
            if numbers:
                return float(sum(numbers) / len(numbers))
        score = row.get("teacher_score")
        return None if score is None else float(score)

    def stratum(self, source: str, index: int) -> Stratum:
        """Return the stratum of a source and bin."""
        return "" if self.size is not None else source, index

    def key(self, row: Row) -> bytes:
        """Return 16 bytes: the hash of (seed, query_id, doc_id), then of the row itself."""
        pair = seeded_hash(self.seed, query_id(row), doc_id(row)).to_bytes(8)
        content = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
        return pair + blake2b(content, digest_size=8).digest()

    def _set_shares(self, found: Quotas) -> None:
        counts, quotas = found.counts, found.quotas
        for source in sorted({source for source, _ in counts}):
            rows = [counts[source, index] for index in range(self.bins)]
            shares = paper_shares(rows) if self.size is None else equal_shares(rows, self.size)
            quotas |= {(source, index): share for index, share in enumerate(shares)}
        if self.size is not None and sum(quotas.values()) < self.size:
            found.notes["fewer than wanted"] = sum(quotas.values())

    def _origin_quotas(self, found: Quotas) -> dict[bool, int]:
        """Return the number of rows of the origin (True: web, False: labelled) that is reduced."""
        if self.size is not None:
            return {}
        web = sum(quota for (source, _), quota in found.quotas.items() if source in self.web)
        labelled = sum(found.quotas.values()) - web
        wanted = labelled_and_web(labelled, web)
        if not labelled or not web:
            found.notes["labelled : web"] = (
                f"{labelled} : {web}, one side is empty, so 2 : 3 is void"
            )
        else:
            found.notes["labelled : web"] = f"{wanted[0]} : {wanted[1]}"
        return {
            is_web: quota
            for is_web, quota, count in ((False, wanted[0], labelled), (True, wanted[1], web))
            if quota < count
        }

    def _cut(
        self, found: Quotas, keys: Spill, origin_quotas: Mapping[bool, int]
    ) -> Iterator[tuple[Any, ...]]:
        """Set each stratum's cutoff; yield the kept keys of an origin that is reduced."""
        ordered = keys.rows("SELECT source, bin, key FROM spill ORDER BY source, bin, key")
        for (source, index), group in groupby(ordered, key=lambda entry: (entry[0], entry[1])):
            quota = found.quotas[source, index]
            cutoff = Cutoff(b"", 0)
            for *_, key in islice(group, quota):
                cutoff.include(key)
                if (source in self.web) in origin_quotas:
                    yield (origin_key(key),)
            if quota < found.counts[source, index]:
                found.cutoffs[source, index] = cutoff


def origin_key(key: bytes) -> bytes:
    """Return another hash, for the choice among labelled or web rows; the first one decided within
    the stratum."""
    return blake2b(key, digest_size=16, person=b"second lot").digest()
