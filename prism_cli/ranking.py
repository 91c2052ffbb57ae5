"""Ranking of one query's documents by a reranker: its requests, and results from its replies.

`prism rerank` and the Python object use this; each answers the requests in its own way. The
evaluation of rankings over data sets is in `evaluation.ranking`, its report in
`reporting.ranking`.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, cast

from prism_cli.domain.evidence_budget import (
    BLANK,
    EXTRACTIVE,
    OFF,
    REPEATS,
    THRESHOLD,
    RankOptions,
    allot,
)
from prism_cli.domain.evidence_text import shares_words
from prism_cli.domain.grounded_texts import (
    NO_CITATIONS,
    Fields,
    Texts,
    allotted_extracts,
    estimated_tokens,
    grounded_texts,
)
from prism_cli.domain.markup import unescaped
from prism_cli.domain.repeats import SaidBefore
from prism_cli.domain.scoring import relevance_score, verdict_of
from prism_cli.domain.targets import ParsedText, parse_text
from prism_cli.domain.windows import Windows, without_repeats
from prism_cli.errors import RowError
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask, Value, rerank_request
from prism_cli.rows.candidates import Candidate
from prism_cli.rows.texts import is_blank

PARAGRAPH = "\n\n"
"""Between texts from different parts of a document."""
DECIMALS = 6
"""Decimals of scores and logits."""


class Result(Texts, Windows):
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
    """Results, best first, ties by doc_id; and counts over all documents of the query.

    Attributes:
        counts: documents, blank, yes, truncated, long_documents (read in windows), windows (of
            these), behind_top_n, tokens_written; given and omitted_REASON (evidence). Of the
            evidence given: tokens_kept, repaired, extracted, format_broken (the model's own text
            is unusable) and unsupported_facts (of the model's own texts).
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
) -> RankWork:
    """Rank documents for a query.

    Where the documents do not compete, logit and text are requested together; else all logits
    first, then the texts of the documents that may have one.

    Raises:
        RowError: the query is too long for the model's prompt.
    """
    if not documents:
        return Ranking([], Counter())
    readable = [index for index, one in enumerate(documents) if not is_blank(one.text)]
    extractive = options.evidence_from == EXTRACTIVE
    together = (
        options.evidence and not (options.logits_first or extractive) and options.threshold < 1
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
    order = sorted(
        range(len(documents)),
        key=lambda index: (
            -round(logits.get(index, -inf), DECIMALS),
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
    )
    scored = [index for index in kept if index in logits]  # blank documents come last
    texts: dict[int, Reply] = {}
    extracts: dict[int, Fields] = {}
    reasons: Sequence[str | None] = []
    if options.evidence and extractive:
        candidates = [documents[index] for index in scored]
        reasons, extracts = allotted_extracts(
            query, candidates, [logits[i] for i in scored], options
        )
    elif together:
        texts = {
            place: replies[index]
            for place, index in enumerate(scored)
            if not replies[index].value.keys().isdisjoint(("text", "texts"))
        }
        reasons = [None if place in texts else THRESHOLD for place in range(len(scored))]
    elif options.evidence:
        tasks = [
            _task(
                query,
                documents[index],
                options.max_new_tokens,
                -inf,
                _windows_to_write(replies[index], options),
            )
            for index in scored
        ]
        reasons, texts = yield from _allotted(
            runtime, tasks, [logits[index] for index in scored], options
        )
    reasons = [*reasons, *[BLANK] * (len(kept) - len(scored))]
    results: list[Result] = []
    said = SaidBefore()
    for place, index in enumerate(kept):
        logit = logits.get(index, -inf)
        texts_of_document: Texts = {}
        if options.evidence:
            text_counts: Counter[str] = Counter()
            if reasons[place] is not None:
                texts_of_document = _no_texts(reasons[place], text_counts, options)
            elif extractive:
                texts_of_document = _extract(extracts[place], text_counts)
            else:
                texts_of_document = _texts(
                    texts[place], text_counts, query, documents[index], options
                )
            if options.reports_omitted:
                texts_of_document["evidence_omitted"] = reasons[place]
            evidence = texts_of_document["evidence"]
            if options.skip_repeats and evidence:
                better = said.add(evidence, index)
                if better is not None:
                    text_counts.clear()
                    texts_of_document = _no_texts(REPEATS, text_counts, options)
                    texts_of_document |= {
                        "evidence_omitted": REPEATS,
                        "repeats": documents[better].doc_id,
                    }
            counts.update(text_counts)
        results.append(
            {
                "index": index,
                "doc_id": documents[index].doc_id,
                "relevance_score": round(relevance_score(logit), DECIMALS),
                "logit": round(logit, DECIMALS) if index in logits else None,
                "verdict": verdict_of(logit),
                **texts_of_document,
                "truncated": index in replies and bool(replies[index].value["truncated"]),
                **_windows(replies.get(index), documents[index].body),
            }
        )
    counts["tokens_written"] = sum(reply.usage.output_tokens for reply in texts.values())
    return Ranking(results, counts)


def _task(
    query: str,
    document: Candidate,
    max_new_tokens: int = 0,
    write_above: float = 0.0,
    spans: tuple[tuple[int, int], ...] = (),
) -> RerankTask:
    return RerankTask(query, document.text, max_new_tokens, write_above, document.body, spans)


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


def _parsed(value: Value) -> ParsedText:
    """Return the texts of a reply: for a document in windows, the contribution of the best one, and
    all evidence in document order without repeated sentences."""
    if "texts" not in value:
        return parse_text(str(value["text"]).replace("\0", "\ufffd"))  # no NUL in rows
    parsed = {
        (start, end): parse_text(str(text).replace("\0", "\ufffd"))
        for start, end, text in value["texts"]
    }
    start, end = value["best_window"]
    best = parsed.get((start, end)) or next(iter(parsed.values()))
    given = [one.evidence for one in parsed.values() if one.evidence]
    evidence = PARAGRAPH.join(without_repeats(given)) or None
    return ParsedText(best.contribution, evidence, bool(best.contribution and evidence))


def _allotted(
    runtime: RerankRuntime,
    tasks: Sequence[RerankTask],
    logits: Sequence[float],
    options: RankOptions,
) -> Generator[Sequence[Request], Sequence[Reply], tuple[list[str | None], dict[int, Reply]]]:
    """Request texts by the rounds of `allot`; return its reasons, and all replies by place."""
    texts: dict[int, Reply] = {}
    rounds = allot(logits, options)
    try:
        places = next(rounds)
        while True:
            replies = yield [rerank_request(runtime, tasks[place]) for place in places]
            texts |= zip(places, replies, strict=True)
            places = rounds.send([reply.usage.output_tokens for reply in replies])
    except StopIteration as stop:
        return stop.value, texts


def _no_texts(reason: str | None, counts: Counter[str], options: RankOptions) -> Texts:
    counts[f"omitted_{reason}"] += 1
    grounded = options.grounding != OFF or options.evidence_from == EXTRACTIVE
    fields = NO_CITATIONS if grounded else {}
    return cast("Texts", {"contribution": None, "evidence": None, "format_ok": None} | fields)


def _extract(fields: Fields, counts: Counter[str]) -> Texts:
    counts.update(given=1, extracted=1, tokens_kept=estimated_tokens(fields))
    return cast("Texts", {"contribution": None, "evidence": None, "format_ok": None} | fields)


def _texts(
    reply: Reply, counts: Counter[str], query: str, document: Candidate, options: RankOptions
) -> Texts:
    """Return the texts of a document, and count them. Entities that neither query nor document has
    are unescaped."""
    parsed = _parsed(reply.value)
    source = f"{document.text}\n{query}"
    contribution, evidence = (
        part and unescaped(part, source) for part in (parsed.contribution, parsed.evidence)
    )
    format_ok = parsed.format_ok and shares_words(evidence or "", document.text)
    counts["given"] += 1
    counts["format_broken"] += not format_ok
    counts["tokens_kept"] += reply.usage.output_tokens
    fields = grounded_texts(
        query, document.text, document.body, contribution, evidence,
        mode=options.grounding, counts=counts,
    )  # fmt: skip
    return cast("Texts", {"contribution": None, "evidence": None, "format_ok": format_ok} | fields)
