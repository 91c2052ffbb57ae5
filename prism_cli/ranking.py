"""Ranking of one query's documents by a reranker: its requests, and results from its replies.

`prism rerank` and the Python object use this; each answers the requests in its own way. The
evaluation of rankings over data sets is in `evaluation.ranking`, its report in
`reporting.ranking`.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypedDict

from prism_cli.domain.evidence_budget import BLANK, THRESHOLD, RankOptions, allot
from prism_cli.domain.evidence_text import shares_words
from prism_cli.domain.markup import unescaped
from prism_cli.domain.scoring import relevance_score, verdict_of
from prism_cli.domain.targets import parse_text
from prism_cli.errors import RowError
from prism_cli.ports import Reply, Request, RerankRuntime, RerankTask, rerank_request
from prism_cli.rows.texts import is_blank

DECIMALS = 6
"""Decimals of scores and logits."""


class Texts(TypedDict, total=False):
    """Generated texts of a document; {} if none were requested.

    Attributes:
        contribution, evidence: None if no text was generated, or it could not be parsed.
        format_ok: True if both could be parsed and the evidence shares a word with the document
            (`shares_words`); None if no text was generated.
        evidence_omitted: only with a limit on evidence: None if there is a text, else the reason:
            threshold, evidence_top, max_evidence_tokens, scattered, blank.
    """

    contribution: str | None
    evidence: str | None
    format_ok: bool | None
    evidence_omitted: str | None


class Result(Texts):
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
        counts: documents, blank, yes, truncated, behind_top_n; given and omitted_REASON (evidence);
            format_broken, tokens_kept (of the texts in the results) and tokens_written.
    """

    results: list[Result]
    counts: Counter[str]


RankWork = Generator[Sequence[Request], Sequence[Reply], Ranking]
"""Yields requests, is sent their replies, and returns the ranking."""


def ranking(
    runtime: RerankRuntime,
    query: str,
    documents: Sequence[tuple[str, str]],
    options: RankOptions,
) -> RankWork:
    """Rank (doc_id, text) for a query.

    Where the documents do not compete, logit and text are requested together; else all logits
    first, then the texts of the documents that may have one.

    Raises:
        RowError: the query is too long for the model's prompt.
    """
    if not documents:
        return Ranking([], Counter())
    readable = [index for index, (_, text) in enumerate(documents) if not is_blank(text)]
    together = options.evidence and not options.joint and options.threshold < 1
    text_limits = (options.max_new_tokens, options.logit_threshold) if together else ()
    replies: dict[int, Reply] = {}
    if readable:
        requests = [
            rerank_request(runtime, RerankTask(query, documents[index][1], *text_limits))
            for index in readable
        ]
        replies = dict(zip(readable, (yield requests), strict=True))
    for reply in replies.values():
        if reply.refusal is not None:
            raise RowError("query", reply.refusal)
    logits = {index: float(reply.value["logit"]) for index, reply in replies.items()}
    order = sorted(
        range(len(documents)),
        key=lambda index: (-round(logits.get(index, -inf), DECIMALS), documents[index][0], index),
    )
    kept = order[: options.top_n]
    counts = Counter(
        documents=len(documents),
        blank=len(documents) - len(readable),
        yes=sum(logit > 0 for logit in logits.values()),
        truncated=sum(bool(reply.value["truncated"]) for reply in replies.values()),
        behind_top_n=len(order) - len(kept),
    )
    scored = [index for index in kept if index in logits]  # blank documents come last
    texts: dict[int, Reply] = {}
    reasons: Sequence[str | None] = []
    if together:
        texts = {
            place: replies[index]
            for place, index in enumerate(scored)
            if "text" in replies[index].value
        }
        reasons = [None if place in texts else THRESHOLD for place in range(len(scored))]
    elif options.evidence:
        tasks = [
            RerankTask(query, documents[index][1], options.max_new_tokens, -inf) for index in scored
        ]
        reasons, texts = yield from _allotted(
            runtime, tasks, [logits[index] for index in scored], options
        )
    reasons = [*reasons, *[BLANK] * (len(kept) - len(scored))]
    results: list[Result] = []
    for place, index in enumerate(kept):
        logit = logits.get(index, -inf)
        texts_of_document: Texts = {}
        if options.evidence:
            texts_of_document = _texts(
                texts.get(place), reasons[place], counts, query, documents[index][1]
            )
            if options.reports_omitted:
                texts_of_document["evidence_omitted"] = reasons[place]
        results.append(
            {
                "index": index,
                "doc_id": documents[index][0],
                "relevance_score": round(relevance_score(logit), DECIMALS),
                "logit": round(logit, DECIMALS) if index in logits else None,
                "verdict": verdict_of(logit),
                **texts_of_document,
                "truncated": index in replies and bool(replies[index].value["truncated"]),
            }
        )
    counts["tokens_written"] = sum(reply.usage.output_tokens for reply in texts.values())
    return Ranking(results, counts)


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


def _texts(
    reply: Reply | None, reason: str | None, counts: Counter[str], query: str, document: str
) -> Texts:
    """Return the texts of a document, or their absence, and count them. Entities that neither query
    nor document has are unescaped."""
    if reason is not None or reply is None:
        counts[f"omitted_{reason}"] += 1
        return {"contribution": None, "evidence": None, "format_ok": None}
    parsed = parse_text(str(reply.value["text"]).replace("\0", "\ufffd"))  # no NUL in rows
    source = f"{document}\n{query}"
    contribution, evidence = (
        part and unescaped(part, source) for part in (parsed.contribution, parsed.evidence)
    )
    format_ok = parsed.format_ok and shares_words(evidence or "", document)
    counts["given"] += 1
    counts["format_broken"] += not format_ok
    counts["tokens_kept"] += reply.usage.output_tokens
    return {
        "contribution": contribution,
        "evidence": evidence,
        "format_ok": format_ok,
    }
