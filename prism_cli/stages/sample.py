"""Sampling: a score-balanced, length-capped subset; quotas from a first pass, rows by hash.

The rows that fill a quota depend on (seed, query_id, doc_id) and on the row's own bytes, not on the
order of rows or their distribution over files. Rows equal in all of these share one key; where not
all of them fit, the first ones are kept.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby, islice
from typing import Any

import orjson

from prism_cli.domain.length_caps import LengthCaps
from prism_cli.domain.sample_warning import ENOUGH_OF_ORIGIN, ENOUGH_OF_SCORE, cap_warning, edges
from prism_cli.domain.sampling import (
    PAPER_BUCKETS,
    bin_of,
    equal_shares,
    labelled_and_web,
    paper_shares,
)
from prism_cli.domain.seeded_sample import seeded_hash
from prism_cli.engine.stage import RowStage
from prism_cli.errors import MissingDataError
from prism_cli.ports import Outcome
from prism_cli.rows.row import (
    Dropped,
    Row,
    check_pair,
    doc_id,
    number_field,
    query_id,
    scores_field,
    string_field,
)
from prism_cli.shards.spill import Spill
from prism_cli.stages.pair_answers import PairAnswers

Stratum = tuple[str, int]
"""Source ("" where it is ignored) and score bin."""
MAX_SOURCE_HISTOGRAMS = 20
"""Number of sources, the largest ones, with a histogram each."""


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


class SampleStage(RowStage):
    """Keeps rows by quota; every other row is dropped with its reason.

    Args:
        size: rows wanted, in equal shares over `bins` bins of teacher_score; None for the paper's
            rule: per source, over buckets of the raw mean score, then labelled : web = 2 : 3.
        lengths: limits by which documents are truncated, and documents or pairs dropped, before
            quotas are counted; None for no limit.
        web_sources: values of `source` that are web rows.
    """

    name = "sample"
    counted = ("_after", "_verdicts", "_left_out", "_cut_documents", "_answers")
    needs_first_pass = True

    def __init__(
        self,
        size: int | None = None,
        *,
        bins: int = 10,
        lengths: LengthCaps | None = None,
        web_sources: Collection[str] = (),
        seed: int = 0,
    ) -> None:
        self._size = size
        self._bins = bins if size is not None else PAPER_BUCKETS
        self._lengths = lengths
        self._cut_documents = 0
        self._web = frozenset(web_sources)
        self._seed = seed
        self._quotas: dict[Stratum, int] = {}
        self._cutoffs: dict[Stratum, Cutoff] = {}
        self._origin_cutoffs: dict[bool, Cutoff] = {}
        self._notes: dict[str, object] = {}
        self._before: Counter[Stratum] = Counter()
        self._after: Counter[Stratum] = Counter()
        self._counts: Counter[Stratum] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._answers = PairAnswers()

    def check(self, row: Row) -> None:
        """Check the pair row; scores are numbers in [0, 1]."""
        check_pair(row)
        number_field(row, "teacher_score", 0, 1)
        scores_field(row, "teacher_scores")
        string_field(row, "source", required=False)

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Count every stratum and find its cutoff.

        Raises:
            MissingDataError: there are rows, but none has a score.
        """
        counts = self._counts
        keys = Spill("source TEXT, bin INTEGER, key BLOB")
        seen = 0

        def entries() -> Iterator[tuple[Any, ...]]:
            nonlocal seen
            for row in rows:
                seen += 1
                score = self._score(row)
                if score is None:
                    continue
                source, index = row.get("source") or "", bin_of(score, self._bins)
                self._before[source, index] += 1
                if self._lengths is None or not self._lengths.drop_reason(row):
                    stratum = self._stratum(source, index)
                    counts[stratum] += 1
                    yield *stratum, self._key(row)

        keys.fill("INSERT INTO spill VALUES (?, ?, ?)", entries())
        if seen and not self._before:
            raise MissingDataError(
                f"none of {seen:,} rows has a teacher_score, which the sample is balanced by; "
                "`prism distill IN -o OUT --teacher st:minilm` writes it"
            )
        self._quotas = self._shares(counts)
        origin_quotas = self._origin_quotas()
        shrunk = Spill("key BLOB")
        shrunk.fill("INSERT INTO spill VALUES (?)", self._cut(counts, keys, origin_quotas))
        for web, quota in origin_quotas.items():
            cutoff = self._origin_cutoffs[web] = Cutoff(b"", 0)
            for (key,) in shrunk.rows("SELECT key FROM spill ORDER BY key LIMIT ?", (quota,)):
                cutoff.include(key)

    def work(self, row: Row) -> Outcome:
        """Return the row, or drop it with the reason."""
        self._answers.note(row, self.location)
        score = self._score(row)
        if score is None:
            return Dropped("no teacher_score")
        if self._lengths and (reason := self._lengths.drop_reason(row)):
            return Dropped(reason)
        source, index = row.get("source") or "", bin_of(score, self._bins)
        stratum = self._stratum(source, index)
        verdict = row.get("verdict") or ""
        self._verdicts[verdict] += 1
        if reason := self._over_a_cap(row, stratum):
            self._left_out[verdict, reason] += 1
            return Dropped(reason)
        self._after[source, index] += 1
        if self._lengths and self._lengths.cut(row):
            self._cut_documents += 1
        return row

    def _over_a_cap(self, row: Row, stratum: Stratum) -> str | None:
        cutoff = self._cutoffs.get(stratum)
        origin_cutoff = (
            self._origin_cutoffs.get(stratum[0] in self._web) if self._origin_cutoffs else None
        )
        if cutoff or origin_cutoff:
            key = self._key(row)
            if cutoff and not cutoff.keeps(key):
                return ENOUGH_OF_SCORE
            if origin_cutoff and not origin_cutoff.keeps(_origin_key(key)):
                return ENOUGH_OF_ORIGIN
        return None

    def summary(self) -> dict[str, object]:
        """Return the rule, the limits, and histograms before and after, also by source."""
        rule = (
            f"equal shares of {self._size} rows over {self._bins} bins of teacher_score"
            if self._size is not None
            else "the paper's caps, a source at a time, over buckets of the raw mean score"
        )
        figures: dict[str, object] = {"rule": rule, **self._notes}
        if self._lengths and (lengths := self._lengths.summary()):
            figures |= lengths | {"documents cut": self._cut_documents}
        sources = Counter[str]()
        for (source, _), count in self._before.items():
            sources[source] += count
        figures["histogram"] = self._histogram(list(sources))
        if len(sources) > 1:
            largest = [name for name, _ in sources.most_common(MAX_SOURCE_HISTOGRAMS)]
            figures["histograms"] = {name or "-": self._histogram([name]) for name in largest}
        totals = (self._counts, self._quotas, self._verdicts, self._left_out)
        if warning := cap_warning(*totals, bins=self._bins, size=self._size):
            figures["warning"] = warning
        return figures | self._answers.figures()

    def _histogram(self, sources: Sequence[str]) -> list[dict[str, object]]:
        return [
            {
                "score": edges(index, self._bins),
                "before": sum(self._before[source, index] for source in sources),
                "after": sum(self._after[source, index] for source in sources),
            }
            for index in range(self._bins)
        ]

    def _shares(self, counts: Counter[Stratum]) -> dict[Stratum, int]:
        quotas: dict[Stratum, int] = {}
        for source in sorted({source for source, _ in counts}):
            rows = [counts[source, index] for index in range(self._bins)]
            shares = paper_shares(rows) if self._size is None else equal_shares(rows, self._size)
            quotas |= {(source, index): share for index, share in enumerate(shares)}
        if self._size is not None and sum(quotas.values()) < self._size:
            self._notes["fewer than wanted"] = sum(quotas.values())
        return quotas

    def _origin_quotas(self) -> dict[bool, int]:
        """Return the number of rows of the origin (True: web, False: labelled) that is reduced."""
        if self._size is not None:
            return {}
        web = sum(quota for (source, _), quota in self._quotas.items() if source in self._web)
        labelled = sum(self._quotas.values()) - web
        wanted = labelled_and_web(labelled, web)
        if not labelled or not web:
            self._notes["labelled : web"] = (
                f"{labelled} : {web}, one side is empty, so 2 : 3 is void"
            )
        else:
            self._notes["labelled : web"] = f"{wanted[0]} : {wanted[1]}"
        return {
            is_web: quota
            for is_web, quota, count in ((False, wanted[0], labelled), (True, wanted[1], web))
            if quota < count
        }

    def _cut(
        self, counts: Counter[Stratum], keys: Spill, origin_quotas: dict[bool, int]
    ) -> Iterator[tuple[Any, ...]]:
        """Set each stratum's cutoff; yield the kept keys of an origin that is reduced."""
        ordered = keys.rows("SELECT source, bin, key FROM spill ORDER BY source, bin, key")
        for (source, index), group in groupby(ordered, key=lambda entry: (entry[0], entry[1])):
            quota = self._quotas[source, index]
            cutoff = Cutoff(b"", 0)
            for *_, key in islice(group, quota):
                cutoff.include(key)
                if (source in self._web) in origin_quotas:
                    yield (_origin_key(key),)
            if quota < counts[source, index]:
                self._cutoffs[source, index] = cutoff

    def _score(self, row: Row) -> float | None:
        """Return the score that is balanced: teacher_score; for the paper's rule the raw mean."""
        if self._size is None and (scores := row.get("teacher_scores")):
            numbers = [score for score in scores.values() if score is not None]
            if numbers:
                return float(sum(numbers) / len(numbers))
        score = row.get("teacher_score")
        return None if score is None else float(score)

    def _stratum(self, source: str, index: int) -> Stratum:
        return "" if self._size is not None else source, index

    def _key(self, row: Row) -> bytes:
        """Return 16 bytes: the hash of (seed, query_id, doc_id), then of the row itself."""
        pair = seeded_hash(self._seed, query_id(row), doc_id(row)).to_bytes(8)
        content = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
        return pair + blake2b(content, digest_size=8).digest()


def _origin_key(key: bytes) -> bytes:
    """Return another hash, for the choice among labelled or web rows; the first one decided within
    the stratum."""
    return blake2b(key, digest_size=16, person=b"second lot").digest()
