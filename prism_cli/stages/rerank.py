"""Reranking: a score, a verdict and, for "yes", contribution and evidence for each document.

Two shapes of rows: pairs, which keep their labels beside the predictions, and a query with its
documents, which gets `results`, best first. Ties are ordered by logit, then by doc_id; blank
documents come last. Where the documents of a query compete (--top-n, --fuse, a budget of evidence),
adjacent pair rows of a query are processed together.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import ClassVar

from prism_cli.domain.evidence_budget import BLANK, SCATTERED, TOO_MANY, RankOptions
from prism_cli.domain.windows import WINDOW
from prism_cli.engine.stage import MAX_GROUP_ROWS, MAX_RANKED_ROWS, RowStage
from prism_cli.errors import RowError
from prism_cli.ports import (
    GroupWork,
    Outcome,
    Reply,
    Request,
    RerankRuntime,
    RowWork,
    TokenBudgeted,
)
from prism_cli.ranking import Result, fusion_of, ranking
from prism_cli.reranker import Reranker
from prism_cli.rows.best_documents import BestDocuments
from prism_cli.rows.candidates import (
    candidates,
    check_first_stage,
    check_rerank_row,
    pair_candidate,
)
from prism_cli.rows.order import rank_key
from prism_cli.rows.results import OPTIONAL_FIELDS, PREDICTIONS
from prism_cli.rows.row import Dropped, Row, doc_id, query_key
from prism_cli.shards.spill import SeenTexts
from prism_cli.wording import counted

_PREDICTED = frozenset(PREDICTIONS.values())
_GROUNDING = ("selected", "repaired", "extracted", "unsupported_facts")
_SCATTERED_ROWS = "row of a scattered query has", "rows of scattered queries have"
_TOO_MANY_ROWS = "row of a query with too many has", "rows of queries with too many have"


class RerankStage(RowStage):
    """Runs a reranker on each (query, document).

    Args:
        reranker: may be lazy: the model is loaded for the first output that has rows.
        options: options for ranking and evidence.
        figures: further entries of the summary and the manifest, such as the canary; read when
            the summary is made.
        before_load: called before a lazy model is loaded.

    Attributes:
        best: the best document of the first query, for display.
        usable: the best document with usable texts, of the first row that has one.
    """

    name: ClassVar[str] = "rerank"
    counted = ("_counts",)
    writes = True
    """False if only the best documents are shown."""
    needs_first_pass_per_shard = True
    ranks_queries = True
    nouns = ("queries", "documents")

    def __init__(
        self,
        reranker: Reranker,
        options: RankOptions,
        *,
        figures: Mapping[str, object] | None = None,
        before_load: Callable[[], None] | None = None,
    ) -> None:
        self._reranker = reranker
        self._before_load = before_load
        self._options = options
        self._figures = {} if figures is None else figures
        self._counts: Counter[str] = Counter()
        self._unranked: dict[bytes, tuple[str, str]] = {}
        """Queries whose rows get no rank, with the words for them."""
        self._alone: set[bytes] = set()
        """Queries with too many rows for the model's own fusion."""
        self._first: bytes | None = None
        self.groups = options.joint
        self.best = BestDocuments(1)
        self.usable = BestDocuments(1, usable=True)

    def check(self, row: Row) -> None:
        """Check that the row is a pair, or a query with documents.

        Raises:
            RowError: names the field, such as `documents[2].text`.
        """
        check_rerank_row(row)
        if self._options.fuse:
            check_first_stage(row)
            if "documents" in row:
                fusion_of(candidates(row), self._options)

    @property
    def _runtime(self) -> RerankRuntime:
        return self._reranker.runtime

    def prepare(self, rows: Iterator[Row]) -> None:
        """Load the model if there is a row."""
        if not self._reranker.loaded and any(True for _ in rows):
            if self._before_load is not None:
                self._before_load()
            self._reranker.runtime  # noqa: B018

    def work(self, row: Row) -> RowWork:
        """Request the answers and add them to the row."""
        if "documents" in row:
            return (yield from self._with_results(row))
        return (yield from self._pairs([row]))[0]

    def group_of(self, row: Row) -> bytes:
        """Return the query key of a pair row; empty for a query with documents."""
        return b"" if "documents" in row else query_key(row)

    def work_group(self, rows: list[Row]) -> GroupWork:
        """Work on adjacent pair rows of a query."""
        if "documents" in rows[0]:
            return [(yield from self._with_results(rows[0]))]
        return (yield from self._pairs(rows))

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Find queries whose rows are scattered, or too many for memory: they get no rank."""
        seen = SeenTexts()
        self._unranked.clear()
        self._alone.clear()
        most = self._most_rows
        for number, (key, group) in enumerate(groupby(rows, self.group_of)):
            size = sum(1 for _ in group)
            if key and seen.conflicts(key, str(number).encode()):
                self._unranked[key] = _SCATTERED_ROWS
            elif key and size > most:
                self._unranked[key] = _TOO_MANY_ROWS
            elif key and self.groups and size > MAX_GROUP_ROWS:
                self._alone.add(key)

    @property
    def _most_rows(self) -> int:
        """Most rows of a query that get ranks."""
        needs_group = replace(self._options, own_fuse=None).joint
        return MAX_GROUP_ROWS if needs_group else MAX_RANKED_ROWS

    def arrange(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Set ranks within the adjacent rows of a query; those of unranked queries keep null."""
        for key, group in groupby(rows, self.group_of):
            if not key:
                yield from group
            elif (words := self._unranked.get(key)) is None:
                yield from _with_ranks(list(group))
            else:
                for row in group:
                    self._counts[words[1]] += "documents" not in row
                    yield row

    def render(self, row: Row) -> bytes:
        """Return one line; the best document of the first query is stored."""
        if self._first != b"":
            key = query_key(row)
            if self._first in (None, key):
                self._first = key
                self.best.add(row, 0)
            else:
                self._first = b""
        if self._options.evidence and not self.usable.ranked():
            self.usable.add(row, 0)
        return super().render(row)

    def batch_plan(self) -> dict[str, int]:
        """Return the tokens per batch, if the model uses them."""
        if not self._reranker.loaded:
            return {}
        model = self._runtime
        return {"batch_tokens": model.batch_tokens} if isinstance(model, TokenBudgeted) else {}

    def apply_batch_plan(self, plan: Mapping[str, int]) -> None:
        """Restore the batch sizes of an earlier run."""
        if self._reranker.loaded and isinstance(self._runtime, TokenBudgeted):
            self._runtime.batch_tokens = plan["batch_tokens"]

    def summary(self) -> dict[str, object]:
        """Return counts and options."""
        options, counts = self._options, self._counts
        summary: dict[str, object] = {"model": self._reranker.spec, **self._figures}
        names = ["documents", "yes", "truncated", "format_broken"]
        if self._reranker.long_documents == WINDOW and (
            counts["long_documents"] or counts["truncated"]
        ):
            names += ["long_documents", "windows"]
        names += ["behind_top_n"] if options.top_n is not None else []
        names += [
            name for name in ("blank", "fused_queries", "unusable_source_scores") if counts[name]
        ]
        summary |= {name: counts[name] for name in names}
        if options.evidence:
            omitted = {name: n for name, n in sorted(counts.items()) if name.startswith("omitted")}
            tokens = {name: counts[name] for name in ("tokens_written", "tokens_kept")}
            grounding = {name: counts[name] for name in _GROUNDING if counts[name]}
            summary["evidence"] = {"given": counts["given"], **omitted, **tokens, **grounding}
        missing = "no rank" + (" and no evidence" if options.rationed else "")
        missing += ", and are all kept" if options.top_n else ""
        advice = {
            _SCATTERED_ROWS: "--sort-queries",
            _TOO_MANY_ROWS: f"at most {self._most_rows:,} of a query are ranked with these options",
        }
        hints = [
            f"{counted(counts[words[1]], *words)} {missing}: {what}"
            for words, what in advice.items()
            if counts[words[1]]
        ]
        return summary | ({"hint": "; ".join(hints)} if hints else {})

    def _with_results(self, row: Row) -> Generator[Sequence[Request], Sequence[Reply], Row]:
        """Rank a query with its documents."""
        self._count_unusable([row])
        ranked = yield from ranking(self._runtime, row["query"], candidates(row), self._options)
        self._counts.update(ranked.counts)
        return row | {"results": ranked.results, "model": self._runtime.spec}

    def _pairs(self, rows: Sequence[Row]) -> GroupWork:
        """Rank pair rows of a query: all of them, or independent ones."""
        documents = [pair_candidate(row) for row in rows]
        options = self._options
        unranked = options.joint and self.group_of(rows[0]) in self._unranked
        if self.group_of(rows[0]) in self._alone:
            options = replace(options, own_fuse=None)
        self._count_unusable(rows)
        if unranked:
            options = replace(options, skip_repeats=False, fuse=None, own_fuse=None)
            if self.writes:  # else the best of all are among the best of the groups
                options = replace(options, top_n=None)
            if options.rationed:  # no budget can be applied: no row gets evidence
                options = replace(
                    options, evidence_top=None, max_evidence_tokens=None, threshold=1.0
                )
        ranked = yield from ranking(self._runtime, rows[0]["query"], documents, options)
        if unranked and self._options.rationed:
            scattered = self._unranked[self.group_of(rows[0])] is _SCATTERED_ROWS
            reason = SCATTERED if scattered else TOO_MANY
            ranked.counts[f"omitted_{reason}"] = ranked.counts.pop("omitted_threshold", 0)
            for result in ranked.results:
                if result["evidence_omitted"] != BLANK:
                    result["evidence_omitted"] = reason
        self._counts.update(ranked.counts)
        outcomes: list[Outcome] = [Dropped(f"behind the best {options.top_n} of its query")]
        outcomes *= len(rows)
        for result in ranked.results:
            row = rows[result["index"]]
            predicted = self._predicted(result)
            kept = {name: one for name, one in row.items() if name not in _PREDICTED}
            outcomes[result["index"]] = kept | predicted
        return outcomes

    def _count_unusable(self, rows: Sequence[Row]) -> None:
        """Count rows whose first stage's scores are no numbers; with --fuse they are rejected."""
        if self._options.fusion is None or self._options.fuse:
            return
        for row in rows:
            try:
                check_first_stage(row)
            except RowError:
                self._counts["unusable_source_scores"] += 1

    def _predicted(self, result: Result) -> Row:
        """Return the fields that are added to a pair row."""
        predicted: Row = {
            "score": result["relevance_score"],
            "logit": result["logit"],
            "rank": None,
            "model": self._runtime.spec,
            "truncated": result["truncated"],
            "predicted_verdict": result["verdict"],
        }
        if self._options.evidence:
            predicted |= {
                "format_ok": result["format_ok"],
                "predicted_contribution": result["contribution"],
                "predicted_evidence": result["evidence"],
            }
        if self._options.fuse:
            predicted["fused_score"] = None  # stays so in a scattered row
        fields: Mapping[str, object] = result
        predicted |= {name: fields[key] for key, name in OPTIONAL_FIELDS.items() if key in fields}
        return predicted


def _with_ranks(group: list[Row]) -> list[Row]:
    """Return the rows of one query, in their order, the pair rows with ranks from 1."""
    pairs = [row for row in group if "documents" not in row]
    by_rank = sorted(pairs, key=lambda row: rank_key(row, row["score"], doc_id(row)))
    for rank, row in enumerate(by_rank, 1):
        row["rank"] = rank
    return group
