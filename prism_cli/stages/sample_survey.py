"""Survey of the sample stage: the rows of every stratum, and from them the cutoffs."""

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, ClassVar, Self

import orjson

from prism_cli.domain.disagreement import disagreement
from prism_cli.domain.length_caps import LengthCaps
from prism_cli.domain.sampling import (
    bin_of,
    equal_shares,
    labelled_and_web,
    paper_shares,
)
from prism_cli.domain.seeded_sample import seeded_hash
from prism_cli.domain.smallest_keys import (
    LINE_BITS,
    KeyColumns,
    Keys,
    Places,
    SmallestKeys,
    mapped,
    renumbered,
)
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import MissingDataError
from prism_cli.rows.row import Row, doc_id, query_id

_RANKS = 2**16 - 1
Stratum = tuple[str, int]
"""Source ("" where it is ignored) and score bin."""


@dataclass(frozen=True)
class Cutoff:
    """A position in the order of keys, and of the rows of one key.

    Attributes:
        key: rows before it are kept.
        lines: last line of each file that is kept of the rows with this key.
    """

    key: bytes
    lines: Mapping[str, int]

    def keeps(self, key: bytes, location: tuple[str, int]) -> bool:
        """Return whether the row with this key is kept."""
        file, line = location
        return line <= self.lines.get(file, 0) if key == self.key else key < self.key


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
        cutoffs = [[*name, cut.key.hex(), cut.lines] for name, cut in self.cutoffs.items()]
        origins = [[web, cut.key.hex(), cut.lines] for web, cut in self.origin_cutoffs.items()]
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
            {web: Cutoff(bytes.fromhex(key), lines) for web, key, lines in origins},
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

    no_scores: ClassVar[str] = (
        "has a teacher_score, which the sample is balanced by; `prism distill IN -o OUT --teacher "
        "st:minilm` writes it"
    )

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return counts of rows and, for those within the length limits, keys and places: 28 bytes
        of each row that can be among the chosen ones of its bin."""
        seen = 0
        strata: dict[Stratum, list[int]] = {}
        files: dict[str, int] = {}
        numbers, keys, places = array("I"), bytearray(), array("Q")
        for file, line, row in rows:
            seen += 1
            score = self.score(row)
            if score is None:
                continue
            name = row.get("source") or "", bin_of(score, self.bins)
            stratum = strata.setdefault(name, [len(strata), 0, 0])
            stratum[1] += 1
            if self.lengths is None or not self.lengths.drop_reason(row):
                stratum[2] += 1
                numbers.append(stratum[0])
                keys += self.key(row)
                places.append(files.setdefault(file, len(files)) << LINE_BITS | line)
        columns = KeyColumns(numbers, keys, places)
        if self.size is not None:
            columns.only_smallest(self.size)
        counts = [[*name, *stratum[1:]] for name, stratum in strata.items()]
        return orjson.dumps([seen, counts, list(files)]) + b"\n" + columns.to_bytes()

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return `Quotas`, after five passes over the parts at most.

        Raises:
            MissingDataError: there are rows, but none has a score.
        """
        found = Quotas()
        seen = 0
        files: dict[str, int] = {}
        for part in parts:
            rows, strata, names = orjson.loads(part.partition(b"\n")[0])
            seen += rows
            for source, index, count, within in strata:
                found.before[source, index] += count
                if within:
                    found.counts[self.stratum(source, index)] += within
            for name in names:
                files.setdefault(name, len(files))
        if seen and not found.before:
            raise MissingDataError(f"none of {seen:,} rows {self.no_scores}")
        self._set_shares(found)
        entries = partial(self._entries, parts, files)
        capped = {
            stratum: SmallestKeys(found.quotas[stratum])
            for stratum, count in sorted(found.counts.items())
            if found.quotas[stratum] < count
        }
        _fill(capped, entries)
        found.cutoffs = {name: _cutoff(keys, list(files)) for name, keys in capped.items()}
        origins = {web: SmallestKeys(n) for web, n in self._origin_quotas(found).items()}
        _fill(origins, partial(self._second_choice, entries, capped, origins))
        found.origin_cutoffs = {web: _cutoff(keys, list(files)) for web, keys in origins.items()}
        return found.as_bytes()

    def _entries(
        self, parts: Iterable[bytes], files: Mapping[str, int]
    ) -> Iterator[tuple[Stratum, Keys, Places]]:
        """Yield the keys of each part and stratum, with places over all files."""
        for part in parts:
            header, _, raw = part.partition(b"\n")
            columns, (_, strata, names) = KeyColumns.from_bytes(raw), orjson.loads(header)
            numbers = [files[name] for name in names]
            for number, (source, index, *_) in enumerate(strata):
                keys, places = columns.of_set(number)
                yield self.stratum(source, index), keys, renumbered(places, numbers)

    def _second_choice(
        self,
        entries: Callable[[], Iterable[tuple[Stratum, Keys, Places]]],
        capped: Mapping[Stratum, SmallestKeys],
        origins: Collection[bool],
    ) -> Iterator[tuple[bool, Keys, Places]]:
        """Yield the second keys of kept rows whose origin is reduced."""
        for stratum, keys, places in entries():
            web = stratum[0] in self.web
            if web not in origins:
                continue
            if stratum in capped:
                kept = capped[stratum].kept(keys, places)
                keys, places = keys[kept], places[kept]
            yield web, mapped(keys, origin_key), places

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


class DisagreementSurvey(SampleSurvey):
    """Survey for the rows on which judge, teacher and student differ most, whatever their score."""

    no_scores = (
        "has two of votes, teacher_score and score (of a student, by `prism rerank`), whose "
        "differences the sample is chosen by"
    )

    def score(self, row: Row) -> float | None:
        """Return the disagreement on a row."""
        return disagreement(row)

    def stratum(self, source: str, index: int) -> Stratum:
        """Return the one stratum of all rows."""
        return "", 0

    def key(self, row: Row) -> bytes:
        """Return 16 bytes that sort by falling disagreement, then as of `SampleSurvey`."""
        rank = round((1 - (self.score(row) or 0.0)) * _RANKS)
        return rank.to_bytes(2) + super().key(row)[:14]


def _fill(
    wanted: Mapping[Any, SmallestKeys],
    entries: Callable[[], Iterable[tuple[Any, Keys, Places]]],
) -> None:
    """Find the smallest keys of each set in two passes over `entries`."""
    if not wanted:
        return
    for name, keys, _ in entries():
        if name in wanted:
            wanted[name].count_keys(keys)
    for name, keys, places in entries():
        if name in wanted:
            wanted[name].collect(keys, places)
    for smallest in wanted.values():
        smallest.finish()


def _cutoff(smallest: SmallestKeys, files: Sequence[str]) -> Cutoff:
    lines: dict[str, int] = {}
    for place in smallest.tied.tolist():
        file = files[place >> LINE_BITS]
        lines[file] = max(lines.get(file, 0), place & (1 << LINE_BITS) - 1)
    return Cutoff(smallest.last or b"", lines)


def origin_key(key: bytes) -> bytes:
    """Return another hash, for the choice among labelled or web rows; the first one decided within
    the stratum."""
    return blake2b(key, digest_size=16, person=b"second lot").digest()
