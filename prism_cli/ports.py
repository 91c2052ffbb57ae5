"""What stages ask of the world, and how they ask: requests to backends, answered by replies.

A stage never calls a model. It yields `Request`s; the engine looks each up in the ledger, shares
equal ones, batches or bounds the rest, commits the replies and hands them back. An adapter is a
backend of one of two kinds: `BatchBackend` (a model in this process) or `CallBackend` (a server).
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

from prism_cli.rows.row import Dropped, Row, texts_digest

Value = dict[str, Any]
"""A reply's JSON object. Teachers: {"score": float in [0, 1]}. Judges: {"vote": "yes" | "no"} and,
where the judge gives it, "probability". Generators: {"contribution": str, "evidence": str}.
Rerankers: {"logit": float, "truncated": bool}, and "text" where the task asks for it.
Chat models whose answer is none of those accepted: {"unusable": the reason}."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one reply cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def shared_by(self, count: int) -> "list[Usage]":
        """The same in `count` parts, for the replies of one call; the first takes the odd token."""
        first_in, first_out = self.input_tokens % count, self.output_tokens % count
        part = Usage(self.input_tokens // count, self.output_tokens // count, self.usd / count)
        first = Usage(part.input_tokens + first_in, part.output_tokens + first_out, part.usd)
        return [first, *[part] * (count - 1)]

    def at(self, share: float) -> "Usage":
        """The same for that share of the price."""
        return Usage(self.input_tokens, self.output_tokens, self.usd * share)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider asks for and allows.

    Attributes:
        priced: whether `Usage.usd` of its replies is the whole cost; False where nothing is known.
    """

    priced: bool = True
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One committed answer: a value, or the reason of a final refusal.

    Attributes:
        value: the JSON object; {} where refused.
        refusal: None, or why the backend will never answer this (content filter, too long, …).
    """

    value: Value
    refusal: str | None = None
    usage: Usage = Usage()


class Backend(Protocol):
    """What both kinds of backend have."""

    @property
    def spec(self) -> str:
        """The model spec as the user wrote it, such as `st:minilm`; names it in rows."""

    @property
    def fingerprint(self) -> str:
        """All that decides its replies besides the texts: role, weights, revision, parameters."""


@runtime_checkable
class BatchBackend(Backend, Protocol):
    """A model in this process."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Indices of `payloads` in batches: a permutation, and a pure function of the payloads."""

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """One reply a payload, in order. Called with one planned batch, or a part of it."""


class RerankTask(NamedTuple):
    """What a reranker is asked about one document.

    Attributes:
        max_new_tokens: tokens of text behind the verdict at the most; 0 for the logit alone.
        write_above: text is written where the logit is greater than this.
    """

    query: str
    document: str
    max_new_tokens: int = 0
    write_above: float = 0.0


class RerankRuntime(BatchBackend, Protocol):
    """A reranker in this process; payloads are `RerankTask`s."""

    @property
    def figures(self) -> Mapping[str, object]:
        """What the manifest tells of it: engine, number type, device, tokens of a batch."""

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The logits of a few short (query, document)."""

    def forget(self) -> None:
        """Drop what was kept for the next batch."""


@runtime_checkable
class TokenBudgeted(Protocol):
    """A model whose batches are planned by a number of tokens, which may sink while it works."""

    batch_tokens: int


@runtime_checkable
class CallBackend(Backend, Protocol):
    """A server. Its own retries are over when `answer` raises."""

    @property
    def single(self) -> bool:
        """Whether `plan` always gives one question a call: they are asked as soon as known."""

    @property
    def concurrency(self) -> int:
        """Calls in flight at the most."""

    @property
    def terms(self) -> Terms:
        """Of its provider."""

    @property
    def lost_calls(self) -> int:
        """Calls so far that ended without a reply and may have been billed all the same."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Indices of `payloads` by call: a permutation. A server that takes one question a call
        has groups of one."""

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """What one call with these payloads will take, about, and rather more than less."""

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """One reply a payload, in order, from one call.

        Raises:
            ProviderError: no reply for now; the rows stay pending.
            RefusalError: the final word on these payloads. Several are then asked one by one.
            PrerequisiteError: the provider as a whole is unusable, and asked no more in this run.
        """

    async def close(self) -> None:
        """Close connections, in the event loop that they were made in; may be called again."""


@dataclass(frozen=True, slots=True)
class BatchState:
    """Where a batch stands at its provider.

    Attributes:
        ended: nothing more will come.
        files: names of the files with its replies.
        words: the state for people, and what went wrong if anything did.
    """

    ended: bool
    words: str
    answered: int = 0
    total: int = 0
    files: tuple[str, ...] = ()


class BatchDesk(Protocol):
    """Where a provider takes batch files. Every method raises as `CallBackend.answer`."""

    @property
    def name(self) -> str:
        """The provider's."""

    @property
    def endpoint(self) -> str:
        """The address, without its host, that each line of a batch file names."""

    async def upload(self, file: BinaryIO, name: str) -> str:
        """The provider's name of the file, which costs nothing yet."""

    async def create(self, file: str, mark: str) -> str:
        """The name of a new batch of that file that carries `mark`; at most one is made."""

    async def find(self, mark: str) -> str | None:
        """The name of the batch that carries `mark`."""

    async def look(self, batch: str) -> BatchState | None:
        """Where it stands; None for a name that the provider does not know."""

    async def fetch(self, file: str) -> bytes:
        """The content of a file."""


@runtime_checkable
class BatchableBackend(CallBackend, Protocol):
    """A server that also takes its questions by batch file; one question a line."""

    @property
    def desk(self) -> BatchDesk | None:
        """Where; None where its provider takes no batch files."""

    @property
    def batch_share(self) -> float:
        """Price of a reply in a batch, as a share of a call's."""

    def batch_line(self, payload: Any) -> Value:
        """The body that a call would send."""

    def read_batch(self, payload: Any, status: int, body: bytes) -> Reply:
        """The reply in a batch.

        Args:
            status: of HTTP; 0 where there was none, and `body` says why.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `answer`.
        """


class FirstStage(Protocol):
    """What proposes candidates: an index over one corpus, or a run that somebody else made."""

    @property
    def spec(self) -> str:
        """What names its ranking, such as `bm25`."""

    @property
    def fingerprint(self) -> str:
        """All that decides its answers besides corpus and query."""

    def search(
        self, queries: Sequence[tuple[str, str]], top_k: int
    ) -> Iterator[list[tuple[str, float]]]:
        """For each (query_id, query) at most `top_k` (doc_id, score), best first."""


@runtime_checkable
class PreparedFirstStage(FirstStage, Protocol):
    """One whose slow part is done once, before any search, and kept."""

    def size(self) -> int:
        """Documents of its corpus."""

    def prepare(self) -> Iterator[int]:
        """Do what is not done yet, in pieces; gives the documents that each piece was."""


class RowReader(Protocol):
    """Reads rows of one foreign shape, or of several that it tells apart."""

    @property
    def plain_lines(self) -> bool:
        """Whether the input's lines are no JSON rows, whatever the file's name."""

    def decode(self, raw: bytes, fields: Mapping[str, str]) -> Row:
        """One line of the input as an object; `fields` as for `decode_row`."""

    def read(self, row: Row) -> Row | list[Row] | Dropped:
        """The pair row that it is, or the pair rows that it holds.

        Raises:
            RowError: names the foreign field.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One question to one backend.

    Attributes:
        key: 32 bytes, SHA-256 over everything that decides the reply; see `request`.
        payload: what the backend's `answer` takes; never stored.
    """

    backend: BatchBackend | CallBackend
    key: bytes
    payload: Any


def request(backend: BatchBackend | CallBackend, payload: Any, *parts: str) -> Request:
    """A request whose key is SHA-256 over the backend's fingerprint and `parts`.

    Every text that decides the reply is a part.
    """
    return Request(backend, texts_digest(backend.fingerprint, *parts), payload)


def rerank_request(reranker: RerankRuntime, task: RerankTask) -> Request:
    """The request of a task; one for the logit alone has the same key whatever texts are about."""
    wish = [f"{task.max_new_tokens} {task.write_above}"] if task.max_new_tokens else []
    return request(reranker, task, task.query, task.document, *wish)


@dataclass(frozen=True, slots=True)
class Routed:
    """Rows for named outputs of the stage (`split`: train, dev), in order."""

    rows: tuple[tuple[str, Row], ...]


Outcome = Row | list[Row] | Dropped | Routed
"""What becomes of one input row: one row, any number of rows, none by a rule, or rows by output."""

RowWork = Generator[Sequence[Request], Sequence[Reply], Outcome]
"""Work on one row that needs replies: yields requests, is sent their replies in the same order, as
often as it likes, and returns the outcome. Raises RowError to have the row rejected."""

GroupWork = Generator[Sequence[Request], Sequence[Reply], list[Outcome]]
"""The same on rows that are worked together; an outcome for each."""
