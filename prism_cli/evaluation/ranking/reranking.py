"""Scores of a model for a first stage's candidates, cached in the ledger."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prism_cli.engine.progress import Progress
from prism_cli.engine.request_queue import answer
from prism_cli.engine.request_runner import RequestRunner, Unanswered
from prism_cli.errors import ProviderError, RowError
from prism_cli.evaluation.ranking.runs import Run
from prism_cli.ports import BatchBackend, Reply, Request
from prism_cli.rows.candidates import Candidate, titled_candidate
from prism_cli.shards.spill import Spill

WINDOW_PAIRS = 2048
"""Pairs that are batched together; the pairs of a query are never separated."""
DECIMALS = 6
"""Decimals of logits in a run, as in rerank's rows; float32 logits vary by up to 1e-5 with the
batch."""

MakeRequest = Callable[[str, str, int], Request]
"""(query, document, length of the title before its text) -> the request for its logit; raises
RowError if the pair cannot be scored."""


class TextStore:
    """Titles and texts of the candidates of one corpus by document id, on disk."""

    def __init__(self) -> None:
        columns = "doc_id TEXT PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL"
        self._spill = Spill(columns, "WITHOUT ROWID")

    def fill(self, documents: Iterator[tuple[str, str, str]], wanted: set[str]) -> None:
        """Store the documents, of (doc_id, title, text), whose id is in `wanted`."""
        chosen = (document for document in documents if document[0] in wanted)
        self._spill.fill("INSERT OR IGNORE INTO spill VALUES (?, ?, ?)", chosen)

    def find(self, doc_id: str) -> Candidate | None:
        """Return the document; None if the corpus does not contain it."""
        select = "SELECT title, text FROM spill WHERE doc_id = ?"
        for title, text in self._spill.rows(select, (doc_id,)):
            return titled_candidate(doc_id, title, text)
        return None


@dataclass
class RerankResult:
    """The new order; by query, the number of unscored pairs, and under `truncated`,
    `long_documents` and `windows` those of pairs with a truncated document, of those whose document
    was read in windows, and of these windows."""

    run: Run = field(default_factory=dict)
    unscored: dict[str, int] = field(default_factory=dict)
    long: dict[str, dict[str, int]] = field(default_factory=dict)


def candidate_texts(documents: Iterator[tuple[str, str, str]], candidates: Run) -> TextStore:
    """Return the texts of all candidates, after one pass over the corpus: (doc_id, title, text)."""
    texts = TextStore()
    texts.fill(documents, {doc_id for hits in candidates.values() for doc_id, _ in hits})
    return texts


def rerank_candidates(
    make_request: MakeRequest,
    queries: Sequence[tuple[str, str]],
    candidates: Run,
    texts: TextStore,
    runner: RequestRunner,
    progress: Progress,
) -> RerankResult:
    """Rank each query's candidates by falling logit; ties by falling document id.

    Candidates that cannot be scored (a blank document, one that is not in the corpus, a query that
    is too long for the model) follow the scored ones, in the first stage's order.

    Raises:
        ProviderError: replies are missing for now; those received are stored.
        InterruptedRunError, LimitReachedError: stopped early; replies so far are stored.
    """
    result = RerankResult()
    if runner.local is not None:
        runner.local.forget()  # figures depend on model and set alone
    batch_progress = _BatchProgress(progress)
    for window in _windows(queries, candidates):
        requests: dict[str, list[tuple[str, Request | None]]] = {}
        for query_id, query in window:
            requests[query_id] = [
                (doc_id, _request(make_request, query, texts.find(doc_id)))
                for doc_id, _ in candidates[query_id]
            ]
        replies = answer(
            runner,
            [
                batch_progress.observe(request)
                for pairs in requests.values()
                for _, request in pairs
                if request is not None
            ],
        )
        for query_id, pairs in requests.items():
            scored: list[tuple[str, float]] = []
            unscored: list[str] = []
            long = Counter[str]()
            for doc_id, request in pairs:
                reply = replies[request.key] if request is not None else None
                if isinstance(reply, Unanswered):
                    raise ProviderError(f"{reply.reason}; the same command continues from here")
                if reply is None or reply.refusal is not None:
                    unscored.append(doc_id)
                else:
                    scored.append((doc_id, round(float(reply.value["logit"]), DECIMALS)))
                    long["truncated"] += bool(reply.value.get("truncated"))
                    long["long_documents"] += "windows" in reply.value
                    long["windows"] += reply.value.get("windows", 0)
            if any(long.values()):
                result.long[query_id] = dict(long)
            if unscored:
                result.unscored[query_id] = len(unscored)
            result.run[query_id] = unscored_behind(scored, unscored)
        batch_progress.end_window(sum(len(pairs) for pairs in requests.values()))
    return result


def unscored_behind(
    scored: list[tuple[str, float]], unscored: Sequence[str]
) -> list[tuple[str, float]]:
    """Return scored documents best first, equal ones by falling document id; then the others."""
    floor = min((score for _, score in scored), default=0.0)
    behind = [(doc_id, floor - place) for place, doc_id in enumerate(unscored, 1)]
    return sorted(scored, key=lambda hit: (hit[1], hit[0]), reverse=True) + behind


class _BatchProgress:
    """Reports progress after each batch, so that slow models show progress too."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._reported = 0
        self._backends: dict[int, _ReportingBackend] = {}

    def observe(self, request: Request) -> Request:
        """Return the request with a backend that reports each batch."""
        if not isinstance(request.backend, BatchBackend):
            return request
        backend = self._backends.setdefault(
            id(request.backend), _ReportingBackend(request.backend, self._report)
        )
        return replace(request, backend=backend)

    def end_window(self, pairs: int) -> None:
        """Report the pairs that needed no batch."""
        self._report(pairs - self._reported)
        self._reported = 0

    def _report(self, pairs: int) -> None:
        self._reported += pairs
        self._progress.advance(pairs, 0.0)


class _ReportingBackend:
    """A BatchBackend that reports the number of payloads after each batch."""

    def __init__(self, backend: BatchBackend, report: Callable[[int], None]) -> None:
        self._backend, self._report = backend, report
        self.spec, self.fingerprint = backend.spec, backend.fingerprint

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return self._backend.plan(payloads)

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        replies = self._backend.answer(payloads)
        self._report(len(payloads))
        return replies


def _request(make_request: MakeRequest, query: str, document: Candidate | None) -> Request | None:
    if document is None:
        return None
    try:
        return make_request(query, document.text, document.body)
    except RowError:
        return None


def _windows(
    queries: Sequence[tuple[str, str]], candidates: Run
) -> Iterator[list[tuple[str, str]]]:
    window: list[tuple[str, str]] = []
    size = 0
    for query_id, query in queries:
        if candidates.get(query_id):
            window.append((query_id, query))
            size += len(candidates[query_id])
        if size >= WINDOW_PAIRS:
            yield window
            window, size = [], 0
    if window:
        yield window
