"""A reranker in Python: `Reranker("runs/2b").rank(query, documents)`.

The commands hold the same object: `prism rerank` and `prism eval` with the engine's ledger behind
it, mteb's adapter without.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypedDict, Unpack

from prism_cli.adapters.runtimes.canary import canary_scores, canary_warning
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.scoring import relevance_score
from prism_cli.errors import ArgumentError, RowError
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask, rerank_request
from prism_cli.ranking import DECIMALS, Result, ranking
from prism_cli.rows.candidates import candidates, check_rerank_row
from prism_cli.rows.texts import BLANK_TEXT, is_blank, text_fault

WINDOW_PAIRS = 2048
"""Pairs that are planned into batches together; a query is never divided."""
ENGINES = ("transformers", "vllm")

Documents = Sequence[str | Mapping[str, Any]]
"""Texts, or {"text", "doc_id", "title"}, of which text alone must be there."""


class Options(TypedDict, total=False):
    """What `rank` takes besides the query and its documents."""

    evidence: bool
    top_n: int | None
    evidence_top: int | None
    threshold: float
    max_evidence_tokens: int | None
    max_new_tokens: int


class Reranker:
    """A model that scores documents, says yes or no, and writes evidence.

    May be used by several threads, which take turns at the model batch by batch.

    Args:
        model: a model spec (hf:smollm2, a path, a run directory, a hub id), or a loaded runtime.
        engine: transformers, or vllm, for a GPU that it has to itself.
        device: auto, cpu, cuda, cuda:1, …
        dtype: auto (float32 on a CPU, bfloat16 on CUDA), float32, bfloat16, float16.
        attn: attention: auto, sdpa, eager or flash_attention_2.
        profile: prompt profile; None for the model's own.
        max_tokens: prompt tokens; longer documents are cut.
        batch_tokens: document tokens of a batch, padding included; None for what suits the device.
        max_new_tokens: the longest text that will be asked for; vllm reserves room for it.
        warn: warn of a model that does not score a plainly relevant document clearly above an
            irrelevant one.
        lazy: load the model when `runtime` is first needed, not now.
        on_load: is given the runtime once it is loaded.

    Raises:
        ModelError: the model cannot be loaded, or is not fit to rerank.
        ArgumentError: no such engine, or an argument that it chooses itself.
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
        max_tokens: int = 10_240,
        batch_tokens: int | None = None,
        max_new_tokens: int = 512,
        warn: bool = True,
        lazy: bool = False,
        on_load: Callable[[RerankRuntime], None] | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise ArgumentError(f"engine {engine!r}: unknown; one of {', '.join(ENGINES)}")
        own = {"device": device, "attn": attn, "batch_tokens": batch_tokens}
        given = [name for name, value in own.items() if value not in ("auto", None)]
        if engine == "vllm" and given:
            raise ArgumentError(f"engine vllm chooses {', '.join(given)} itself; leave it out")
        self._turn = threading.Lock()
        self._on_load = on_load
        if not isinstance(model, str):
            self.spec, self.runtime = model.spec, model
            return
        self.spec = model
        """The model as the caller named it."""
        settings = {"dtype": dtype, "profile": profile, "max_tokens": max_tokens}
        more = {"max_new_tokens": max_new_tokens} if engine == "vllm" else own
        self._load = partial(_loaded, engine, model, settings | more)
        if lazy:
            return
        runtime = self.runtime
        if warn and (told := canary_warning(model, canary_scores(runtime))):
            warnings.warn(told, stacklevel=2)

    @cached_property
    def runtime(self) -> RerankRuntime:
        """The model that answers."""
        runtime = self._load()
        if self._on_load is not None:
            self._on_load(runtime)
        return runtime

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return "runtime" in vars(self)

    def rank(
        self,
        query: str,
        documents: Documents,
        *,
        evidence: bool = True,
        top_n: int | None = None,
        evidence_top: int | None = None,
        threshold: float = 0.5,
        max_evidence_tokens: int | None = None,
        max_new_tokens: int = 512,
    ) -> list[Result]:
        """The documents, best first; what `prism rerank` writes as `results`.

        Blank ones, of white space and zero-width characters alone, come last: score 0, logit None.

        Args:
            evidence: also write contribution and evidence.
            top_n: results at the most.
            evidence_top: only the best so many documents get evidence.
            threshold: score above which a document gets evidence; below .5 a document that is
                judged no may get it too.
            max_evidence_tokens: of the texts of all documents together, best first.
            max_new_tokens: of one text.

        Raises:
            ArgumentError: a ValueError: an option out of range, a document of another shape, or a
                query that is blank or too long for the model.
        """
        (results,) = self.rank_many(
            [(query, documents)],
            evidence=evidence,
            top_n=top_n,
            evidence_top=evidence_top,
            threshold=threshold,
            max_evidence_tokens=max_evidence_tokens,
            max_new_tokens=max_new_tokens,
        )
        return results

    def rank_many(
        self, queries: Sequence[tuple[str, Documents]], **options: Unpack[Options]
    ) -> list[list[Result]]:
        """As `rank`, for several (query, documents), whose documents share batches.

        Args:
            options: as `rank` takes them; each query has its own budget.

        Raises:
            ArgumentError: as `rank`; nothing is returned then.
        """
        wanted = RankOptions(**options)
        asked = [(query, _documents(query, given)) for query, given in queries]
        found: list[list[Result]] = []
        for window in _windows(asked):
            found += self._ranked(window, wanted)
        self._forget()
        return found

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The score of each (query, document), in [0, 1]; 0 for a blank document. Pairs of a query
        share its prompt.

        Raises:
            ArgumentError: a query that is blank or too long for the model, or a text that holds NUL
                or half of a surrogate pair.
        """
        for query, document in pairs:
            _documents(query, [document])
        scores = [0.0] * len(pairs)
        for batch in self.replies(pairs):
            for place, reply in batch:
                if reply.refusal is not None:
                    raise ArgumentError(f"pairs[{place}]: query: {reply.refusal}")
                logit = reply.value["logit"]
                score = 0.0 if logit is None else relevance_score(float(logit))
                scores[place] = round(score, DECIMALS)
        return scores

    def request(self, query: str, document: str) -> Request:
        """The question for a pair's logit, for the engine.

        Raises:
            RowError: a blank query or document, about which no model is asked.
        """
        for field, text in (("query", query), ("document", document)):
            if is_blank(text):
                raise RowError(field, BLANK_TEXT)
        return rerank_request(self.runtime, RerankTask(query, document))

    def replies(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[tuple[int, Reply]]]:
        """For each batch as it is done: the place of a (query, document), and the reply with its
        logit, which is None where one of them is blank."""
        place: dict[str, int] = {}
        asked: list[int] = []
        blank: list[tuple[int, Reply]] = []
        for index, (query, document) in enumerate(pairs):
            place.setdefault(query, len(place))
            if is_blank(query) or is_blank(document):
                blank.append((index, Reply({"logit": None, "truncated": False})))
            else:
                asked.append(index)
        if blank:
            yield blank
        order = sorted(asked, key=lambda index: place[pairs[index][0]])
        for start in range(0, len(order), WINDOW_PAIRS):
            window = order[start : start + WINDOW_PAIRS]
            tasks = [RerankTask(*pairs[index]) for index in window]
            for batch, answers in self._answers(tasks):
                yield [(window[row], reply) for row, reply in zip(batch, answers, strict=True)]
        self._forget()

    def _ranked(
        self, queries: Sequence[tuple[str, list[tuple[str, str]]]], options: RankOptions
    ) -> list[list[Result]]:
        """Each query's results, taken on together, step by step, as the engine does."""
        works = [ranking(self.runtime, query, texts, options) for query, texts in queries]
        results: dict[int, list[Result]] = {}
        replies: dict[bytes, Reply] = {}
        groups: dict[int, Sequence[Request]] = dict.fromkeys(range(len(works)), ())
        begun = False
        while groups:
            waiting: dict[int, Sequence[Request]] = {}
            for number, group in groups.items():
                work = works[number]
                try:
                    answered = [replies[request.key] for request in group]
                    waiting[number] = work.send(answered) if begun else next(work)
                except StopIteration as end:
                    results[number] = end.value.results
                except RowError as error:
                    raise _refused(queries[number][0], error) from None
            begun, groups = True, waiting
            asked = list({one.key: one for group in groups.values() for one in group}.values())
            replies = {}
            for batch, answers in self._answers([one.payload for one in asked]):
                replies |= {
                    asked[place].key: reply for place, reply in zip(batch, answers, strict=True)
                }
        return [results[number] for number in range(len(works))]

    def _answers(self, tasks: Sequence[RerankTask]) -> Iterator[tuple[list[int], list[Reply]]]:
        """Places and replies of each batch; other threads may work between batches."""
        with self._turn:
            batches = self.runtime.plan(tasks)
        for batch in batches:
            with self._turn:
                answers = self.runtime.answer([tasks[place] for place in batch])
            yield batch, answers

    def _forget(self) -> None:
        with self._turn:
            self.runtime.forget()


def _loaded(engine: str, model: str, settings: Mapping[str, Any]) -> RerankRuntime:
    """The runtime of an engine; `settings` as its loader takes them."""
    if engine == "vllm":
        from prism_cli.adapters.runtimes.vllm_runtime import load_vllm_reranker

        return load_vllm_reranker(model, **settings)
    from prism_cli.adapters.runtimes.transformers_runtime import load_reranker

    return load_reranker(model, **settings)


def _windows(
    queries: Sequence[tuple[str, list[tuple[str, str]]]],
) -> Iterator[list[tuple[str, list[tuple[str, str]]]]]:
    window: list[tuple[str, list[tuple[str, str]]]] = []
    size = 0
    for query, texts in queries:
        window.append((query, texts))
        size += len(texts)
        if size >= WINDOW_PAIRS:
            yield window
            window, size = [], 0
    yield window


def _documents(query: str, given: Documents) -> list[tuple[str, str]]:
    """(doc_id, text) of what a caller passed."""
    if isinstance(given, str):
        raise ArgumentError("documents: expected a sequence of documents, found a single string")
    documents = [dict(one) if isinstance(one, Mapping) else one for one in given]
    row = {"query": query, "documents": documents}
    try:
        _check_unicode(row)
        check_rerank_row(row)
    except RowError as error:
        raise _refused(query, error) from None
    return candidates(row)


def _check_unicode(row: Mapping[str, Any]) -> None:
    """Refuse what Python's strings may hold and a row's, which were UTF-8, do not.

    Raises:
        RowError: half of a surrogate pair; names the field.
    """
    named = [("query", row["query"])]
    for index, one in enumerate(row["documents"]):
        where = f"documents[{index}]"
        inner = one.items() if isinstance(one, dict) else ()
        named += [(where, one), *((f"{where}.{name}", text) for name, text in inner)]
    for field, text in named:
        if isinstance(text, str) and (why := text_fault(text)):
            raise RowError(field, why)


def _refused(query: object, error: RowError) -> ArgumentError:
    return ArgumentError(f"{error} (query {str(query)[:60]!r})")
