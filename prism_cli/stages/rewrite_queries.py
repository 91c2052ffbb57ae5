"""Query rewriting: a share of the queries becomes keywords, the same for all rows of a query."""

from collections import Counter
from typing import Any

from prism_cli.domain.keywords import is_chosen, is_too_long
from prism_cli.engine.stage import RowStage
from prism_cli.ports import BatchBackend, CallBackend, Outcome, RowWork
from prism_cli.rows.candidates import check_rerank_row
from prism_cli.rows.results import PREDICTIONS
from prism_cli.rows.row import Row, original_query, query_id, text_key
from prism_cli.shards.key_numbers import KeyNumbers
from prism_cli.stages.retries import request_with_retries

LABELS = (
    "teacher_scores", "teacher_score", "votes", "vote_probabilities", "verdict", "votes_cast",
    "agreement", "audit", "audit_share", "abstained", "posterior", "teacher_prior", "stop",
    "early_verdict", "early_votes_cast", "reused", "contribution", "evidence", "generator",
    "generation_error", "objectives", "labels_from", "rank", "model", "truncated", "results",
    "disagreement", *PREDICTIONS.values(),
)  # fmt: skip
"""Fields that are valid only for the query they were made with; not the corpus's source_label."""
FIRST_STAGE = ("source_score", "source_rank")
"""The same of the first stage: no labels, so they are not inherited."""
REWRITTEN, SKIPPED, REFUSED = "rewritten", "skipped", "refused"
TOO_LONG, NOT_CHOSEN, BEFORE = "too long to ask", "not chosen", "rewritten before"


class RewriteQueriesStage(RowStage):
    """Writes query, original_query and query_style; query_id where it was absent.

    Accepts pair rows and queries with documents. A row that was rewritten before is unchanged.

    Args:
        generator: a chat model with the payload (query, attempt); replies {"keywords"} or
            {"skip": True}. After a refusal the query is unchanged.
        fraction: fraction of the queries, in [0, 1].
        ablation: write the original row after each rewritten one.
        inherit_labels: keep LABELS in rewritten rows instead of removing them.
    """

    name = "rewrite-queries"
    counted = ("_queries", "_rows", "_labelled", "_seen", "_last_query")

    def __init__(
        self,
        generator: BatchBackend | CallBackend,
        *,
        fraction: float,
        seed: int = 0,
        ablation: bool = False,
        inherit_labels: bool = False,
    ) -> None:
        self.generator = generator
        self._fraction = fraction
        self._seed = seed
        self._ablation = ablation
        self._inherit_labels = inherit_labels
        self._seen = KeyNumbers()
        self._last_query = ""
        self._queries: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        self._labelled = 0

    def check(self, row: Row) -> None:
        """Check that the row is a pair, or a query with documents."""
        check_rerank_row(row)

    def work(self, row: Row) -> Outcome | RowWork:
        """Ask for keywords if the query is in the sample."""
        query: str = row["query"]
        original = original_query(row)
        if row.get("query_style") == "keyword" or query != original:
            self._count(BEFORE, original)
            return row
        if is_chosen(query, seed=self._seed, fraction=self._fraction):
            if not is_too_long(query):
                return self._asked(row, query)
            self._count(TOO_LONG, query)
        else:
            self._count(NOT_CHOSEN, query)
        row["query_style"] = "original"
        return row

    def summary(self) -> dict[str, object]:
        """Return outcomes of queries and rows, and the number of labels that no longer fit."""
        asked = (REWRITTEN, SKIPPED, REFUSED)
        lines = {
            TOO_LONG: (TOO_LONG,),
            "asked": asked,
            **{name: (name,) for name in asked},
            NOT_CHOSEN: (NOT_CHOSEN,),
            BEFORE: (BEFORE,),
        }
        figures: dict[str, object] = {
            "generator": self.generator.spec,
            "queries": [
                {
                    "outcome": line,
                    "queries": sum(self._queries[name] for name in names),
                    "share": _share(self._queries, names),
                    "rows": sum(self._rows[name] for name in names),
                    "share of rows": _share(self._rows, names),
                }
                for line, names in lines.items()
            ],
        }
        if self._labelled:
            outcome = "inherited" if self._inherit_labels else "removed"
            figures[f"rewritten rows with labels of the original query, {outcome}"] = self._labelled
        return figures

    def _asked(self, row: Row, query: str) -> RowWork:
        reply = yield from request_with_retries(self.generator, query, query)
        keywords = reply.value.get("keywords")
        if not isinstance(keywords, str):
            self._count(SKIPPED if reply.value.get("skip") else REFUSED, query)
            row["query_style"] = "original"
            return row
        self._count(REWRITTEN, query)
        row["query_id"] = query_id(row)
        unchanged = row | {"query_style": "original"}
        return [self._rewritten(row, keywords), *([unchanged] if self._ablation else ())]

    def _rewritten(self, row: Row, keywords: str) -> Row:
        parts = [row, *(one for one in row.get("documents", ()) if isinstance(one, dict))]
        labelled = any(part.get(name) is not None for part in parts for name in LABELS)
        self._labelled += labelled
        removed = FIRST_STAGE if self._inherit_labels else (*FIRST_STAGE, *LABELS)
        row = _without(row, removed)
        if "documents" in row:
            row["documents"] = [_without(one, removed) for one in row["documents"]]
        if labelled and self._inherit_labels:
            row["labels_from"] = "original"
        return row | {
            "query": keywords, "original_query": row["query"], "query_style": "keyword",
        }  # fmt: skip

    def _count(self, outcome: str, query: str) -> None:
        self._rows[outcome] += 1
        if query == self._last_query:
            return
        self._last_query = query
        key = text_key(query)
        if self._seen.get(key) is None:
            self._seen.put(key, 1)
            self._queries[outcome] += 1


def _without(part: Any, names: tuple[str, ...]) -> Any:
    """Return a row or a document without some fields; a document that is a text has none."""
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if name not in names}


def _share(counts: Counter[str], names: tuple[str, ...]) -> float:
    return round(sum(counts[name] for name in names) / max(1, counts.total()), 4)
