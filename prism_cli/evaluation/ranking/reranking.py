"""A model's scores for a first stage's candidates, through the ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prism_cli.engine.progress import Progress
from prism_cli.engine.request_queue import answer
from prism_cli.engine.request_runner import RequestRunner, Unanswered
from prism_cli.errors import ProviderError, RowError
from prism_cli.evaluation.ranking.runs import Run
from prism_cli.ports import BatchBackend, Reply, Request
from prism_cli.shards.spill import Spill

WINDOW_PAIRS = 2048
"""Pairs that are planned into batches together; a query is never divided."""
DECIMALS = 6
"""Of logits in a run, as in rerank's rows; other batches moved float32 logits by up to 1e-5."""

MakeRequest = Callable[[str, str], Request]
"""(query, document) -> the request for its logit; RowError where the pair cannot be asked."""


class TextStore:
    """Documents by id, on disk: what the candidates of one corpus say."""

    def __init__(self) -> None:
        self._spill = Spill("doc_id TEXT PRIMARY KEY, text TEXT NOT NULL", "WITHOUT ROWID")

    def fill(self, documents: Iterator[tuple[str, str]], wanted: set[str]) -> None:
        """Keep those (doc_id, text) whose id is wanted; empties `wanted` of what was found."""
        chosen = ((doc_id, text) for doc_id, text in documents if doc_id in wanted)

        def found() -> Iterator[tuple[str, str]]:
            for doc_id, text in chosen:
                wanted.discard(doc_id)
                yield doc_id, text

        self._spill.fill("INSERT OR IGNORE INTO spill VALUES (?, ?)", found())

    def find(self, doc_id: str) -> str | None:
        """The text; None where the corpus does not hold the document."""
        for (text,) in self._spill.rows("SELECT text FROM spill WHERE doc_id = ?", (doc_id,)):
            return str(text)
        return None


@dataclass
class RerankResult:
    """The new order, and how many of its pairs were cut or stayed without a score."""

    run: Run = field(default_factory=dict)
    truncated: int = 0
    unscored: int = 0


def candidate_texts(documents: Iterator[tuple[str, str]], candidates: Run) -> TextStore:
    """The texts of all candidates, in one pass over the corpus."""
    texts = TextStore()
    texts.fill(documents, {doc_id for hits in candidates.values() for doc_id, _ in hits})
    return texts


def rerank_candidates(
    ask: MakeRequest,
    queries: Sequence[tuple[str, str]],
    candidates: Run,
    texts: TextStore,
    answerer: RequestRunner,
    progress: Progress,
) -> RerankResult:
    """Each query's candidates by falling logit, the greater document id first where they are equal.

    A candidate that cannot be scored (a blank document, one that the corpus does not hold, a query
    longer than the model takes) keeps its place of the first stage behind all scored ones.

    Raises:
        ProviderError: replies are missing for now; those that came are kept.
        InterruptedRunError, LimitReachedError: stopped early; replies so far are kept.
    """
    result = RerankResult()
    if answerer.local is not None:
        answerer.local.forget()  # a model's figures on a set depend on these two alone
    watch = _BatchProgress(progress)
    for window in _windows(queries, candidates):
        asked: dict[str, list[tuple[str, Request | None]]] = {}
        for query_id, query in window:
            asked[query_id] = [
                (doc_id, _request(ask, query, texts.find(doc_id)))
                for doc_id, _ in candidates[query_id]
            ]
        replies = answer(
            answerer,
            [
                watch.over(request)
                for pairs in asked.values()
                for _, request in pairs
                if request is not None
            ],
        )
        for query_id, pairs in asked.items():
            scored: list[tuple[str, float]] = []
            left: list[str] = []
            for doc_id, request in pairs:
                reply = replies[request.key] if request is not None else None
                if isinstance(reply, Unanswered):
                    raise ProviderError(f"{reply.reason}; the same command goes on from here")
                if reply is None or reply.refusal is not None:
                    left.append(doc_id)
                else:
                    scored.append((doc_id, round(float(reply.value["logit"]), DECIMALS)))
                    result.truncated += bool(reply.value.get("truncated"))
            result.unscored += len(left)
            floor = min((score for _, score in scored), default=0.0)
            behind = [(doc_id, floor - place) for place, doc_id in enumerate(left, 1)]
            best_first = sorted(scored, key=lambda hit: (hit[1], hit[0]), reverse=True)
            result.run[query_id] = best_first + behind
        watch.end_window(sum(len(pairs) for pairs in asked.values()))
    return result


class _BatchProgress:
    """Tells the progress of each batch, so that a slow model shows signs of life."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told = 0
        self._watched: dict[int, _ReportingBackend] = {}

    def over(self, asked: Request) -> Request:
        """The same request to the same backend, watched."""
        if not isinstance(asked.backend, BatchBackend):
            return asked
        backend = self._watched.setdefault(
            id(asked.backend), _ReportingBackend(asked.backend, self._tell)
        )
        return replace(asked, backend=backend)

    def end_window(self, pairs: int) -> None:
        """Tell of the pairs that no batch was needed for."""
        self._tell(pairs - self._told)
        self._told = 0

    def _tell(self, pairs: int) -> None:
        self._told += pairs
        self._progress.advance(pairs, 0.0)


class _ReportingBackend:
    """A BatchBackend that tells how many payloads it has answered."""

    def __init__(self, backend: BatchBackend, tell: Callable[[int], None]) -> None:
        self._backend, self._tell = backend, tell
        self.spec, self.fingerprint = backend.spec, backend.fingerprint

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return self._backend.plan(payloads)

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        replies = self._backend.answer(payloads)
        self._tell(len(payloads))
        return replies


def _request(ask: MakeRequest, query: str, document: str | None) -> Request | None:
    if document is None:
        return None
    try:
        return ask(query, document)
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
