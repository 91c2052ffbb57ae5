"""Ranking of one query's documents by a reranker: its requests, and results from its replies.

`prism rerank` and the Python object use this; each answers the requests in its own way. The
evaluation of rankings over data sets is in `evaluation.ranking`, its report in
`reporting.ranking`.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypedDict

from prism_cli.domain.evidence_budget import (
    BLANK,
    EXTRACTIVE,
    MODEL,
    SELECTED,
    THRESHOLD,
    RankOptions,
    allot,
)
from prism_cli.domain.fusion import Fusion, first_stage_values, fused_scores
from prism_cli.domain.grounded_texts import Texts
from prism_cli.domain.model_defaults import NO_DEFAULTS, ModelDefaults
from prism_cli.domain.scoring import relevance_score, verdict_of
from prism_cli.domain.windows import Windows
from prism_cli.errors import RowError
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask, rerank_request
from prism_cli.query_texts import NOT_IN_TIME, QueryTexts
from prism_cli.rows.candidates import Candidate
from prism_cli.rows.texts import is_blank

DECIMALS = 6
"""Decimals of scores and logits."""


class Fused(TypedDict, total=False):
    """Field of a result that is fused with the first stage's score, by which it is ordered."""

    fused_score: float | None


class Result(Texts, Windows, Fused):
    """A reranker's result for one document.

    Attributes:
        index: the document's index in the input.
        relevance_score: in [0, 1].
        logit: l_yes - l_no; above 0 the verdict is yes. None for a blank document, which is not
            sent to the model: it comes last, with the score 0 and the verdict no.
        truncated: True if the document was truncated to fit the model.
    """

    index: int
    doc_id: str
    relevance_score: float
    logit: float | None
    verdict: Literal["yes", "no"]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """Results, best first, ties by logit, then by doc_id; and counts over all documents of the
    query.

    Attributes:
        counts: documents, blank, yes, truncated, long_documents (read in windows), windows (of
            these), behind_top_n, fused_queries, tokens_written; given and omitted_REASON
            (evidence). Of the evidence given: tokens_kept, selected, repaired, extracted,
            format_broken (the model's own text is unusable) and unsupported_facts (of the model's
            own texts).
    """

    results: list[Result]
    counts: Counter[str]


RankWork = Generator[Sequence[Request], Sequence[Reply], Ranking]
"""Yields requests, is sent their replies, and returns the ranking."""


def ranking(
    runtime: RerankRuntime,
    query: str,
    documents: Sequence[Candidate],
    options: RankOptions,
    *,
    scores_first: bool = False,
    late: Callable[[], bool] | None = None,
) -> RankWork:
    """Rank documents for a query.

    Where the documents do not compete, logit and text are requested together; else all logits
    first, then the texts of the documents that may have one.

    Args:
        scores_first: request all logits first in any case.
        late: says that no time is left for further texts, which are left out. With it, no requests
            are yielded after each text, so that other work takes its turn.

    Raises:
        RowError: the query is too long for the model's prompt; with `fuse`, the first stage has
            scored no document.
    """
    if not documents:
        return Ranking([], Counter())
    readable = [index for index, one in enumerate(documents) if not is_blank(one.text)]
    fusion, first_stage = fusion_of(documents, options)
    source = evidence_source(runtime, options)
    together = (
        options.evidence
        and not (scores_first or options.logits_first or source != MODEL)
        and options.threshold < 1
    )
    text_limits = (options.max_new_tokens, options.logit_threshold) if together else ()
    replies: dict[int, Reply] = {}
    if readable:
        requests = [
            rerank_request(runtime, _task(query, documents[index], *text_limits))
            for index in readable
        ]
        replies = dict(zip(readable, (yield requests), strict=True))
    for reply in replies.values():
        if reply.refusal is not None:
            raise RowError("query", reply.refusal)
    logits = {index: float(reply.value["logit"]) for index, reply in replies.items()}
    ours = [
        round(logits[index], DECIMALS) if index in logits else None
        for index in range(len(documents))
    ]
    fused = [] if fusion is None else fused_scores(ours, first_stage, fusion)
    values = fused or ours
    order = sorted(
        range(len(documents)),
        key=lambda index: (
            *(inf if value is None else -value for value in (values[index], ours[index])),
            documents[index].doc_id,
            index,
        ),
    )
    kept = order[: options.top_n]
    counts = Counter(
        documents=len(documents),
        blank=len(documents) - len(readable),
        yes=sum(logit > 0 for logit in logits.values()),
        truncated=sum(bool(reply.value["truncated"]) for reply in replies.values()),
        long_documents=sum("windows" in reply.value for reply in replies.values()),
        windows=sum(reply.value.get("windows", 0) for reply in replies.values()),
        behind_top_n=len(order) - len(kept),
        fused_queries=int(bool(fused)),
    )
    scored = [index for index in kept if index in logits]  # blank documents come last
    texts = QueryTexts(query, [documents[index] for index in kept], options)
    reasons: Sequence[str | None] = []
    if together:
        for place, index in enumerate(scored):
            if not replies[index].value.keys().isdisjoint(("text", "texts")):
                texts.add(place, replies[index])
        reasons = [None if place in texts else THRESHOLD for place in range(len(scored))]
    elif options.evidence:
        requests = [
            rerank_request(
                runtime,
                _task(
                    query,
                    documents[index],
                    options.max_new_tokens,
                    -inf,
                    _windows_to_write(replies[index], options),
                    source == SELECTED,
                ),
            )
            for index in ([] if source == EXTRACTIVE else scored)
        ]
        reasons = yield from _allotted(
            requests, [logits[index] for index in scored], texts, options, late
        )
    reasons = [*reasons, *[BLANK] * (len(kept) - len(scored))]
    results: list[Result] = []
    for place, index in enumerate(kept):
        logit = logits.get(index, -inf)
        texts_of_document: Texts = {}
        fused_score: Fused = {"fused_score": fused[index]} if fused else {}
        if options.evidence:
            texts_of_document, text_counts = texts.fields(place, reasons[place])
            counts.update(text_counts)
        results.append(
            {
                "index": index,
                "doc_id": documents[index].doc_id,
                "relevance_score": round(relevance_score(logit), DECIMALS),
                "logit": round(logit, DECIMALS) if index in logits else None,
                "verdict": verdict_of(logit),
                **fused_score,
                **texts_of_document,
                "truncated": index in replies and bool(replies[index].value["truncated"]),
                **_windows(replies.get(index), documents[index].body),
            }
        )
    counts["tokens_written"] = texts.tokens_written
    return Ranking(results, counts)


def evidence_source(runtime: RerankRuntime, options: RankOptions) -> str:
    """Return where evidence comes from: as the options say, else the model, else MODEL."""
    return options.evidence_from or defaults_of(runtime).evidence_from or MODEL


def defaults_of(runtime: RerankRuntime) -> ModelDefaults:
    """Return the defaults that a runtime's model states."""
    stated: ModelDefaults = getattr(runtime, "defaults", NO_DEFAULTS)
    return stated


def fusion_of(
    documents: Sequence[Candidate], options: RankOptions
) -> tuple[Fusion | None, list[float | None]]:
    """Return the fusion of a query, and the first stage's values; None and [] without one.

    Raises:
        RowError: `fuse` asks for one, and the first stage has scored no document.
    """
    fusion = options.fusion
    if fusion is None:
        return None, []
    first_stage = first_stage_values(
        [one.source_score for one in documents], [one.source_rank for one in documents]
    )
    if all(value is None for value in first_stage):
        if options.fuse is None:
            return None, []
        expected = "the first stage's score, or source_rank, for fusion"
        raise RowError("source_score", f"expected {expected}; found neither")
    return fusion, first_stage


def _task(
    query: str,
    document: Candidate,
    max_new_tokens: int = 0,
    write_above: float = 0.0,
    spans: tuple[tuple[int, int], ...] = (),
    selects: bool = False,
) -> RerankTask:
    return RerankTask(
        query, document.text, max_new_tokens, write_above, document.body, spans, selects
    )


def _windows_to_write(reply: Reply, options: RankOptions) -> tuple[tuple[int, int], ...]:
    """Return the windows of a long document that get a text: the best, and all others above the
    threshold, best first."""
    windows = reply.value.get("best_windows", ())
    return tuple(
        (start, end)
        for place, (start, end, logit) in enumerate(windows)
        if not place or logit > options.logit_threshold
    )


def _windows(reply: Reply | None, body: int) -> Windows:
    """Return the fields of a document that was read in windows; ranges without the title."""
    if reply is None or "windows" not in reply.value:
        return {}
    best = [max(0, place - body) for place in reply.value["best_window"]]
    return {"windows": reply.value["windows"], "best_window": best}


def _allotted(
    requests: Sequence[Request],
    logits: Sequence[float],
    texts: QueryTexts,
    options: RankOptions,
    late: Callable[[], bool] | None,
) -> Generator[Sequence[Request], Sequence[Reply], list[str | None]]:
    """Add texts by the rounds of `allot`, and return its reasons.

    Args:
        requests: for the text of each document; without any the texts are extracted.
    """
    rounds = allot(logits, options)
    try:
        places = next(rounds)
        while True:
            replies: Sequence[Reply | None] = [None] * len(places)
            if requests:
                replies = yield [requests[place] for place in places]
            tokens: list[int] = []
            for place, reply in zip(places, replies, strict=True):
                tokens.append(texts.add(place, NOT_IN_TIME if late and late() else reply))
                if late:
                    yield ()
            places = rounds.send(tokens)
    except StopIteration as stop:
        reasons: list[str | None] = stop.value
        return reasons
