"""The Python interface: `Reranker("runs/2b").rank(query, documents)`.

The commands use the same object: `prism rerank` and `prism eval` with the engine's ledger, mteb's
adapter without.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Literal, TypedDict, Unpack

from prism_cli.adapters.runtimes.canary import canary_scores, canary_warning
from prism_cli.adapters.runtimes.engines import load_runtime, reading
from prism_cli.domain.defaults import MAX_NEW_TOKENS, MAX_TOKENS
from prism_cli.domain.evidence_budget import REPAIR, RankOptions
from prism_cli.domain.scoring import BOUNDARY, relevance_score
from prism_cli.domain.windows import WINDOW, check_windows
from prism_cli.errors import ArgumentError, RowError
from prism_cli.generator_drivers import in_step
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask, rerank_request
from prism_cli.ranking import DECIMALS, RankWork, Result, defaults_of, ranking
from prism_cli.rows.caller_documents import Documents, caller_documents, refused
from prism_cli.rows.candidates import Candidate
from prism_cli.rows.texts import BLANK_TEXT, is_blank

WINDOW_PAIRS = 2048
"""Pairs that are planned into batches together; a query is never split."""
ENGINES = ("transformers", "vllm")


class Options(TypedDict, total=False):
    """Options of `rank`."""

    evidence: bool
    top_n: int | None
    evidence_top: int | None
    threshold: float
    max_evidence_tokens: int | None
    max_new_tokens: int
    grounding: str
    evidence_from: str | None
    skip_repeats: bool
    fuse: float | Literal["rrf"] | None


class Reranker:
    """A model that scores documents, gives a verdict, and generates evidence.

    Thread-safe: several threads take turns at the model batch by batch.

    Args:
        model: a model spec (hf:smollm2, a path, a run directory, a hub id), or a loaded runtime.
        engine: transformers, or vllm, which needs a GPU of its own.
        device: auto, cpu, cuda, cuda:1, …
        dtype: auto (float32 on a CPU, bfloat16 on CUDA), float32, bfloat16, float16.
        attn: attention: auto, sdpa, eager or flash_attention_2.
        profile: prompt profile; None for the model's own.
        max_tokens: most prompt tokens.
        long_documents: window reads a document that does not fit in overlapping windows, and its
            score is the best one's; cut reads its beginning alone. A loaded runtime without an
            encoder decides itself.
        window_tokens: most document tokens of a window; None for the model's own, else for as many
            as fit.
        batch_tokens: document tokens per batch, including padding; None for the device's default.
        max_new_tokens: most tokens of any requested text; vllm reserves memory for it.
        warn: warn if the model does not score an obviously relevant document clearly above an
            irrelevant one.
        lazy: load the model when `runtime` is first used, not now.
        on_load: called with the runtime once it is loaded.

    Raises:
        ModelError: the model cannot be loaded, or cannot rerank.
        ArgumentError: the engine is unknown, or sets an argument itself; long_documents or
            window_tokens is out of range.
        MissingPackageError: vllm is not installed.
    """

    def __init__(
        self,
        model: str | RerankRuntime,
        *,
        engine: str = "transformers",
        device: str = "auto",
        dtype: str = "auto",
        attn: str = "auto",
        profile: str | None = None,
        max_tokens: int = MAX_TOKENS,
        long_documents: str = WINDOW,
        window_tokens: int | None = None,
        batch_tokens: int | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        warn: bool = True,
        lazy: bool = False,
        on_load: Callable[[RerankRuntime], None] | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise ArgumentError(f"engine {engine!r}: unknown; one of {', '.join(ENGINES)}")
        own = {"device": device, "attn": attn, "batch_tokens": batch_tokens}
        explicit = [name for name, value in own.items() if value not in ("auto", None)]
        if engine == "vllm" and explicit:
            raise ArgumentError(f"engine vllm chooses {', '.join(explicit)} itself; leave it out")
        check_windows(long_documents, window_tokens)
        self.long_documents, self._window_tokens = long_documents, window_tokens
        self._reading = partial(reading, way=long_documents, window_tokens=window_tokens)
        self._turn = threading.Lock()
        self._on_load = on_load
        if not isinstance(model, str):
            self.spec, self.runtime = model.spec, self._reading(model)
            return
        self.spec = model
        """The caller's name for the model."""
        settings = {"dtype": dtype, "profile": profile, "max_tokens": max_tokens}
        more = {"max_new_tokens": max_new_tokens} if engine == "vllm" else own
        self._load = partial(load_runtime, engine, model, settings | more)
        if lazy:
            return
        runtime = self.runtime
        if warn and (message := canary_warning(model, canary_scores(runtime))):
            warnings.warn(message, stacklevel=2)

    @cached_property
    def runtime(self) -> RerankRuntime:
        """The loaded model."""
        runtime = self._reading(self._load())
        if self._on_load is not None:
            self._on_load(runtime)
        return runtime

    @property
    def loaded(self) -> bool:
        """True if the model is in memory."""
        return "runtime" in vars(self)

    def rank(
        self,
        query: str,
        documents: Documents,
        *,
        long_documents: str | None = None,
        evidence: bool = True,
        top_n: int | None = None,
        evidence_top: int | None = None,
        threshold: float = BOUNDARY,
        max_evidence_tokens: int | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        grounding: str = REPAIR,
        evidence_from: str | None = None,
        skip_repeats: bool = False,
        fuse: float | Literal["rrf"] | None = None,
    ) -> list[Result]:
        """Return the documents, best first, in the form of `results` of `prism rerank`.

        Blank documents (only white space and zero-width characters) come last: score 0, logit None.

        Args:
            long_documents: window or cut; None for the object's own.
            evidence: generate contribution and evidence, too.
            top_n: most results.
            evidence_top: number of best documents that get evidence.
            threshold: score above which a document gets evidence; below .5 a document with the
                verdict no may get it, too.
            max_evidence_tokens: most tokens of the texts of all documents, best first.
            max_new_tokens: most tokens of one text.
            grounding: repair replaces sentences with facts or words that neither document nor query
                has by the document's own; report only lists them as unsupported; off does neither.
            evidence_from: model; selected: the document's sentences that the model scores best; or
                extractive: those closest to the query. None for the model's own, else model.
            skip_repeats: leave out evidence that says nothing beyond that of better documents.
            fuse: order by the fusion with the documents' `source_score` (or `source_rank`), of the
                first stage that found them: its weight in [0, 1], or "rrf". None for the model's
                own weight, where the documents have such scores, else the reranker alone (0).

        Raises:
            ArgumentError: (a ValueError) an option is out of range, a document has another shape,
                or the query is blank or too long for the model.
        """
        (results,) = self.rank_many(
            [(query, documents)],
            long_documents=long_documents,
            evidence=evidence,
            top_n=top_n,
            evidence_top=evidence_top,
            threshold=threshold,
            max_evidence_tokens=max_evidence_tokens,
            max_new_tokens=max_new_tokens,
            grounding=grounding,
            evidence_from=evidence_from,
            skip_repeats=skip_repeats,
            fuse=fuse,
        )
        return results

    def rank_many(
        self,
        queries: Sequence[tuple[str, Documents]],
        *,
        long_documents: str | None = None,
        **options: Unpack[Options],
    ) -> list[list[Result]]:
        """Rank several (query, documents), whose documents share batches.

        Args:
            options: options of `rank`; each query has its own budget.

        Raises:
            ArgumentError: as for `rank`; no result is returned then.
        """
        runtime = self.runtime
        if long_documents is not None:
            runtime = reading(runtime, long_documents, self._window_tokens)
        rank_options = RankOptions(**options, own_fuse=defaults_of(runtime).fuse)
        texts = [(query, caller_documents(query, documents)) for query, documents in queries]
        results: list[list[Result]] = []
        for window in _windows(texts):
            results += self._ranked(runtime, window, rank_options)
        self._forget()
        return results

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the score of each (query, document), in [0, 1]; 0 for a blank document.

        Raises:
            ArgumentError: a query is blank or too long for the model, or a text has NUL or half of
                a surrogate pair.
        """
        for query, document in pairs:
            caller_documents(query, [document])
        scores = [0.0] * len(pairs)
        for batch in self.replies(pairs):
            for place, reply in batch:
                if reply.refusal is not None:
                    raise ArgumentError(f"pairs[{place}]: query: {reply.refusal}")
                logit = reply.value["logit"]
                score = 0.0 if logit is None else relevance_score(float(logit))
                scores[place] = round(score, DECIMALS)
        return scores

    def request(self, query: str, document: str, body: int = 0) -> Request:
        """Return the request for a pair's logit, for the engine; `body` is where the document's
        text begins, after its title.

        Raises:
            RowError: the query or the document is blank.
        """
        for field, text in (("query", query), ("document", document)):
            if is_blank(text):
                raise RowError(field, BLANK_TEXT)
        return rerank_request(self.runtime, RerankTask(query, document, body=body))

    def replies(
        self, pairs: Sequence[tuple[str, str]], bodies: Sequence[int] | None = None
    ) -> Iterator[list[tuple[int, Reply]]]:
        """Yield for each finished batch the indices of its pairs, and the replies with their logits
        (None if query or document is blank); `bodies` is where each document's text begins, after
        its title."""
        place: dict[str, int] = {}
        readable: list[int] = []
        blank: list[tuple[int, Reply]] = []
        for index, (query, document) in enumerate(pairs):
            place.setdefault(query, len(place))
            if is_blank(query) or is_blank(document):
                blank.append((index, Reply({"logit": None, "truncated": False})))
            else:
                readable.append(index)
        if blank:
            yield blank
        order = sorted(readable, key=lambda index: place[pairs[index][0]])
        for start in range(0, len(order), WINDOW_PAIRS):
            window = order[start : start + WINDOW_PAIRS]
            tasks = [
                RerankTask(*pairs[index], body=bodies[index] if bodies else 0) for index in window
            ]
            for batch, answers in self._answers(self.runtime, tasks):
                yield [(window[row], reply) for row, reply in zip(batch, answers, strict=True)]
        self._forget()

    def _ranked(
        self,
        runtime: RerankRuntime,
        queries: Sequence[tuple[str, list[Candidate]]],
        options: RankOptions,
    ) -> list[list[Result]]:
        """Return each query's results; all queries advance step by step, as in the engine."""

        def work(query: str, texts: list[Candidate]) -> RankWork:
            try:
                return (yield from ranking(runtime, query, texts, options))
            except RowError as error:
                raise refused(query, error) from None

        def answer(requests: list[Request]) -> list[Reply]:
            unique = list({request.key: request for request in requests}.values())
            replies: dict[bytes, Reply] = {}
            for batch, answers in self._answers(runtime, [request.payload for request in unique]):
                keys = [unique[place].key for place in batch]
                replies |= zip(keys, answers, strict=True)
            return [replies[request.key] for request in requests]

        rankings = in_step({number: work(*one) for number, one in enumerate(queries)}, answer)
        return [rankings[number].results for number in range(len(queries))]

    def _answers(
        self, runtime: RerankRuntime, tasks: Sequence[RerankTask]
    ) -> Iterator[tuple[list[int], list[Reply]]]:
        """Yield indices and replies of each batch; other threads may run between batches."""
        with self._turn:
            batches = runtime.plan(tasks)
        for batch in batches:
            with self._turn:
                answers = runtime.answer([tasks[place] for place in batch])
            yield batch, answers

    def _forget(self) -> None:
        with self._turn:
            self.runtime.forget()


def _windows(
    queries: Sequence[tuple[str, list[Candidate]]],
) -> Iterator[list[tuple[str, list[Candidate]]]]:
    window: list[tuple[str, list[Candidate]]] = []
    size = 0
    for query, texts in queries:
        window.append((query, texts))
        size += len(texts)
        if size >= WINDOW_PAIRS:
            yield window
            window, size = [], 0
    yield window
