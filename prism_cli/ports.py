"""Interfaces between stages and the outside: requests to backends, answered by replies.

A stage never calls a model. It yields `Request`s; the engine looks each up in the ledger, merges
equal ones, batches or limits the rest, commits the replies and sends them back. An adapter is one
of two kinds of backend: `BatchBackend` (a model in this process) or `CallBackend` (a server).
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from prism_cli.rows.row import Dropped, Row, texts_digest

Value = dict[str, Any]
"""JSON object of a reply. Teachers: {"score": float in [0, 1]}. Judges: {"vote": "yes" | "no"} and,
if the judge returns it, "probability". Generators: {"contribution": str, "evidence": str}.
Rerankers: {"logit": float, "truncated": bool}, and "text" if the task asks for it; more for a
document in windows, and others for one that selects, see `adapters.runtimes.windowed`. Chat models
without an accepted answer: {"unusable": reason}."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of one reply."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def shared_by(self, count: int) -> "list[Usage]":
        """Split the usage of one call into `count` parts; the first gets the remainder."""
        first_in, first_out = self.input_tokens % count, self.output_tokens % count
        part = Usage(self.input_tokens // count, self.output_tokens // count, self.usd / count)
        first = Usage(part.input_tokens + first_in, part.output_tokens + first_out, part.usd)
        return [first, *[part] * (count - 1)]

    def at(self, share: float) -> "Usage":
        """Return the usage at that share of the price."""
        return Usage(self.input_tokens, self.output_tokens, self.usd * share)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Prices and rate limits of a provider.

    Attributes:
        priced: True if `Usage.usd` of its replies is the complete cost; False if it is unknown.
        usd: price of tokens in and out, where it depends on them alone.
    """

    priced: bool = True
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    usd: Callable[[int, int], float] | None = None


@dataclass(slots=True)  # not frozen, which would take twice as long to make
class Reply:
    """One committed reply: a value, or the reason for a final refusal.

    Attributes:
        value: the JSON object; {} for a refusal.
        refusal: None, or why the backend will never answer this (content filter, too long, …).
    """

    value: Value
    refusal: str | None = None
    usage: Usage = Usage()


class Backend(Protocol):
    """The common interface of both kinds of backend."""

    @property
    def spec(self) -> str:
        """The model spec as the user wrote it, such as `st:minilm`; it is its name in rows."""

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines its replies except the texts: role, weights, parameters."""


@runtime_checkable
class BatchBackend(Backend, Protocol):
    """A model in this process."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return indices of `payloads` in batches: a permutation, and a pure function of the
        payloads."""

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return one reply per payload, in order. They are one planned batch or a part of it."""


class RerankTask(NamedTuple):
    """A reranker's task for one document.

    Attributes:
        max_new_tokens: most tokens of text after the verdict; 0 for the logit alone.
        write_above: text is generated if the logit is greater than this.
        body: length of the title and the space before the caller's document.
        spans: for a long document, the windows that get a text whatever their logits, best first.
        selects: evidence is selected from the sentences; the text is a contribution alone.
    """

    query: str
    document: str
    max_new_tokens: int = 0
    write_above: float = 0.0
    body: int = 0
    spans: tuple[tuple[int, int], ...] = ()
    selects: bool = False


class RerankRuntime(BatchBackend, Protocol):
    """A reranker in this process; payloads are `RerankTask`s."""

    @property
    def figures(self) -> Mapping[str, object]:
        """Entries of the manifest: engine, number type, device, tokens of a batch and a prompt."""

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the logits of a few short (query, document)."""

    def forget(self) -> None:
        """Drop cached state for the next batch."""


@runtime_checkable
class SplitsDocuments(Protocol):
    """A reranker that reads long documents in windows."""

    def split_key(self, task: RerankTask) -> str:
        """Return what determines the reply for a long document besides its text; "" if it fits."""


@runtime_checkable
class TokenBudgeted(Protocol):
    """A model whose batches are planned by a number of tokens, which may shrink while it runs."""

    batch_tokens: int


@runtime_checkable
class CallBackend(Backend, Protocol):
    """A server. When `answer` raises, its own retries are used up."""

    @property
    def single(self) -> bool:
        """True if `plan` always returns one question per call: they are sent as soon as known."""

    @property
    def concurrency(self) -> int:
        """Most calls in flight."""

    @property
    def rate_limits(self) -> RateLimits:
        """Prices and rate limits of its provider."""

    @property
    def lost_calls(self) -> int:
        """Number of calls so far without a reply that may have been billed."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return indices of `payloads` by call: a permutation. A server that takes one question per
        call has groups of one."""

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Return the approximate usage of one call with these payloads, rather too high."""

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return one reply per payload, in order, from one call.

        Raises:
            ProviderError: there is no reply for now; the rows stay pending.
            RefusalError: these payloads are refused. Several are then sent one by one.
            PrerequisiteError: the provider is unusable, and gets no more calls in this run.
        """

    async def close(self) -> None:
        """Close connections, in the event loop that opened them; may be called again."""


class FirstStage(Protocol):
    """A source of candidates: an index over one corpus, or an existing run."""

    @property
    def spec(self) -> str:
        """The name of its ranking, such as `bm25`."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines its results except corpus and query."""

    def search(
        self, queries: Sequence[tuple[str, str]], top_k: int
    ) -> Iterator[list[tuple[str, float]]]:
        """Yield for each (query_id, query) at most `top_k` (doc_id, score), best first."""


@runtime_checkable
class PreparedFirstStage(FirstStage, Protocol):
    """A first stage whose slow part is done once, before any search, and cached."""

    def size(self) -> int:
        """Return the number of documents of its corpus."""

    def prepare(self) -> Iterator[int]:
        """Do the remaining preparation in steps; yield the number of documents of each."""


@dataclass(slots=True, eq=False)  # not frozen, which would take twice as long to make
class Request:
    """One question to one backend.

    Attributes:
        key: 32 bytes, SHA-256 of everything that determines the reply; see `request`.
        payload: the argument of the backend's `answer`; never stored.
    """

    backend: BatchBackend | CallBackend
    key: bytes
    payload: Any


def request(backend: BatchBackend | CallBackend, payload: Any, *parts: str) -> Request:
    """Return a request whose key is SHA-256 of the backend's fingerprint and `parts`.

    Every text that determines the reply must be a part.
    """
    return Request(backend, texts_digest(backend.fingerprint, *parts), payload)


def rerank_request(reranker: RerankRuntime, task: RerankTask) -> Request:
    """Return the request of a task; the key of one for the logit alone has no text options, and
    that of a document that fits nothing of windows."""
    parts = [f"{task.max_new_tokens} {task.write_above}"] if task.max_new_tokens else []
    if isinstance(reranker, SplitsDocuments) and (windows := reranker.split_key(task)):
        parts.append(windows)
    return request(reranker, task, task.query, task.document, *parts)


@dataclass(frozen=True, slots=True)
class Routed:
    """Rows for named outputs of the stage (`split`: train, dev), in order."""

    rows: tuple[tuple[str, Row], ...]


Outcome = Row | list[Row] | Dropped | Routed
"""Result of one input row: one row, any number of rows, none by a rule, or rows by output."""

RowWork = Generator[Sequence[Request], Sequence[Reply], Outcome]
"""Work on one row that needs replies: yields requests and is sent their replies in the same order,
any number of times, then returns the outcome. Raises RowError to reject the row."""

GroupWork = Generator[Sequence[Request], Sequence[Reply], list[Outcome]]
"""Work on several rows at once; returns an outcome for each."""
