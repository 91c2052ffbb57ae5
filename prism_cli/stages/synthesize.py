"""Query synthesis: a generator writes queries for an instruction, and duplicates are dropped.

Near-duplicates are dropped within a row as its queries arrive, so that more are requested, and
among all rows of an output at its end, where the first of each group is kept. The result depends
only on the replies in the order of the rows, so a killed and resumed run ends with the same output.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import ClassVar

import orjson

from prism_cli.domain.languages import language_name
from prism_cli.domain.near_duplicates import loose_query_shingles
from prism_cli.domain.synthesis import (
    CALL_QUERIES,
    EXACT,
    MAX_TOLD,
    NEAR,
    STYLES,
    Ask,
    Earlier,
    fault,
    question,
    shares,
    sifted,
)
from prism_cli.engine.stage import ForecastRequests, RowStage
from prism_cli.errors import RowError
from prism_cli.ports import BatchBackend, CallBackend, Reply, RowWork
from prism_cli.rows.row import Dropped, Row, string_field, text_id
from prism_cli.shards.spill import Spill
from prism_cli.shards.text_groups import TextGroups
from prism_cli.stages.retries import request_with_retries

AGAINST = "the same or nearly the same as one of --against"
_OF_A_QUERY = ("query", "document", "documents", "pos")
_WRITTEN = {"query_id", "query", "original_query", "source", "query_style"}


class SynthesizeStage(RowStage):
    """Writes a row for each query: query_id, query, the instruction's fields, source, query_style.

    Args:
        generator: a chat model with the payload (Ask, attempt); replies {"queries"}.
        per_instruction: number of queries per instruction.
        styles: keys of STYLES, an equal share of each.
        against: returns existing queries; called for each output.
    """

    name: ClassVar[str] = "synthesize"
    counted = ("_figures", "_left_out", "_refusals")
    query_rows = False

    def __init__(
        self,
        generator: BatchBackend | CallBackend,
        *,
        per_instruction: int,
        styles: Sequence[str] = tuple(STYLES),
        against: Callable[[], Iterable[str]] = tuple,
        seed: int = 0,
    ) -> None:
        self._generator = generator
        self._per_instruction = per_instruction
        self._styles = styles
        self._against = against
        self._seed = seed
        self._figures: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    def check(self, row: Row) -> None:
        """Check the instruction and the optional language; there is no query or document."""
        string_field(row, "instruction", blank=False)
        string_field(row, "language", required=False)
        for name in _OF_A_QUERY:
            if row.get(name) is not None:
                raise RowError(
                    name,
                    "expected an instruction that has no query yet; keep instruction, language and "
                    "what else shall travel",
                )

    def work(self, row: Row) -> RowWork:
        """Ask style by style until there are enough queries, a style yields no new one, or a style
        has had one call more than its share needs."""
        instruction, language = row["instruction"], language_name(row.get("language") or "")
        earlier = Earlier(instruction)
        kept: list[tuple[str, str]] = []
        refusal = ""
        first = int(text_id(f"{self._seed}\0{instruction}"), 16)
        wanted = shares(self._per_instruction, self._styles, first)
        self._figures["asked for"] += self._per_instruction
        waiting = deque(
            (style, count, 1 - -count // CALL_QUERIES) for style, count in wanted.items()
        )
        while waiting:
            style, missing, calls = waiting.popleft()
            listed = tuple(query for query, _ in kept[-MAX_TOLD:])
            count = min(missing, CALL_QUERIES)
            ask = Ask(instruction, language, style, count, listed, self._seed)
            reply = yield from request_with_retries(
                self._generator, ask, question(ask), fault=partial(fault, ask)
            )
            if reply.refusal is not None:
                refusal = reply.refusal
                self._refusals[refusal] += 1
                continue
            fresh = self._fresh(ask, reply.value["queries"], earlier)
            kept += [(query, style) for query in fresh]
            if fresh and len(fresh) < missing and calls > 1:
                waiting.append((style, missing - len(fresh), calls - 1))
        if refusal and not kept:
            raise RowError("instruction", refusal)
        self._figures["instructions with fewer than asked for"] += len(kept) < self._per_instruction
        return [self._row(row, query, style) for query, style in kept] or Dropped(
            "no query worth keeping"
        )

    def forecast_requests(self, row: Row) -> ForecastRequests:
        """Yield every call of a row; unknown replies count as exactly the requested queries."""
        work = self.work(row)
        made = 0
        try:
            (request,) = next(work)
            while True:
                reply = yield request, 1.0
                ask, _ = request.payload
                if reply is None:  # numbers: no language, no near-duplicates
                    reply = Reply(
                        {"queries": [f"{made + index:016d}" for index in range(ask.count)]}
                    )
                    made += ask.count
                (request,) = work.send([reply])
        except (RowError, StopIteration):
            return

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Drop rows whose query (nearly) equals an earlier one or one of `against`."""
        groups = TextGroups(loose_query_shingles, exact=True)
        for query in self._against():
            groups.number(query)
        excluded = len(groups)
        held = Spill("place INTEGER PRIMARY KEY, number INTEGER, row BLOB")
        held.fill(
            "INSERT INTO spill VALUES (?, ?, ?)",
            (
                (place, groups.number(row["query"]), orjson.dumps(row))
                for place, row in enumerate(rows)
            ),
        )
        near, marked = groups.group(excluded)
        last = excluded - 1
        for number, row in held.rows("SELECT number, row FROM spill ORDER BY place"):
            if marked[number]:
                self._left_out[AGAINST] += 1
            elif number <= last:  # numbers increase with each new text
                self._left_out[EXACT] += 1
            elif near.find(number) != number:
                last = number
                self._left_out[NEAR] += 1
            else:
                last = number
                self._figures["kept"] += 1
                yield orjson.loads(row)

    def summary(self) -> dict[str, object]:
        """Return the number of queries generated, kept, and dropped by reason."""
        counted = ("asked for", "made", "kept")
        figures: dict[str, object] = {
            "generator": self._generator.spec,
            "queries": {name: self._figures[name] for name in counted}
            | {f"left out: {reason}": count for reason, count in sorted(self._left_out.items())},
        }
        if short := self._figures["instructions with fewer than asked for"]:
            figures["instructions with fewer than asked for"] = short
        if self._refusals:
            figures["calls refused"] = dict(sorted(self._refusals.items()))
        return figures

    def _fresh(self, ask: Ask, queries: Sequence[str], earlier: Earlier) -> list[str]:
        fresh = []
        for query, reason in sifted(ask, queries):
            self._figures["made"] += 1
            if reason := reason or earlier.reason(query):
                self._left_out[reason] += 1
            else:
                fresh.append(query)
        return fresh

    def _row(self, row: Row, query: str, style: str) -> Row:
        extra = {name: value for name, value in row.items() if name not in _WRITTEN}
        return {"query_id": text_id(query), "query": query, **extra} | {
            "source": f"synthesized:{self._generator.spec}", "query_style": STYLES[style].name,
        }  # fmt: skip
