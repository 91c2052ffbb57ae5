"""One query's documents to results: what a reranker is asked, and what becomes of its replies.

`prism rerank` and the Python object both work by this, each with its own way to have requests
answered.
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
"""Of scores and logits."""


class Told(TypedDict, total=False):
    """What was written about a document; {} where no texts were asked for.

    Attributes:
        contribution, evidence: None where nothing was written, or it could not be read.
        format_ok: whether both could be read and the evidence says something of the document
            (`shares_words`); None where nothing was written.
        evidence_omitted: only with a limit on evidence: None where there is a text, else what left
            it out: threshold, evidence_top, max_evidence_tokens, scattered, blank.
    """

    contribution: str | None
    evidence: str | None
    format_ok: bool | None
    evidence_omitted: str | None


class Result(Told):
    """What a reranker says of one document.

    Attributes:
        index: the document's place among those that were given.
        relevance_score: in [0, 1].
        logit: l_yes - l_no; above 0 the verdict is yes. None for a blank document, which no model
            is asked about: it comes last, with the score 0 and the verdict no.
        truncated: whether the document was cut to fit the model.
    """

    index: int
    doc_id: str
    relevance_score: float
    logit: float | None
    verdict: Literal["yes", "no"]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """Results, best first, equal ones by doc_id; and counts over all documents of the query.

    Attributes:
        counts: documents, blank, yes, truncated, behind_top_n; given and omitted_REASON (evidence);
            format_broken, tokens_kept (of the texts that were given) and tokens_written.
    """

    results: list[Result]
    counts: Counter[str]


RankWork = Generator[Sequence[Request], Sequence[Reply], Ranking]
"""Yields requests, is sent their replies."""


def ranking(
    runtime: RerankRuntime,
    query: str,
    documents: Sequence[tuple[str, str]],
    options: RankOptions,
) -> RankWork:
    """Rank (doc_id, text) for a query.

    Where the documents do not compete, logit and text come together; else all logits come first,
    then the texts of those that may have one.

    Raises:
        RowError: the query is too long for the model's prompt.
    """
    if not documents:
        return Ranking([], Counter())
    asked = [at for at, (_, text) in enumerate(documents) if not is_blank(text)]
    together = options.evidence and not options.joint and options.threshold < 1
    wish = (options.max_new_tokens, options.cut) if together else ()
    replies: dict[int, Reply] = {}
    if asked:
        requests = [
            rerank_request(runtime, RerankTask(query, documents[at][1], *wish)) for at in asked
        ]
        replies = dict(zip(asked, (yield requests), strict=True))
    for reply in replies.values():
        if reply.refusal is not None:
            raise RowError("query", reply.refusal)
    logits = {at: float(reply.value["logit"]) for at, reply in replies.items()}
    order = sorted(
        range(len(documents)),
        key=lambda at: (-round(logits.get(at, -inf), DECIMALS), documents[at][0], at),
    )
    kept = order[: options.top_n]
    counts = Counter(
        documents=len(documents),
        blank=len(documents) - len(asked),
        yes=sum(logit > 0 for logit in logits.values()),
        truncated=sum(bool(reply.value["truncated"]) for reply in replies.values()),
        behind_top_n=len(order) - len(kept),
    )
    scored = [at for at in kept if at in logits]  # blank ones come last
    texts: dict[int, Reply] = {}
    fates: Sequence[str | None] = []
    if together:
        texts = {
            place: replies[at] for place, at in enumerate(scored) if "text" in replies[at].value
        }
        fates = [None if place in texts else THRESHOLD for place in range(len(scored))]
    elif options.evidence:
        tasks = [RerankTask(query, documents[at][1], options.max_new_tokens, -inf) for at in scored]
        fates, texts = yield from _allotted(runtime, tasks, [logits[at] for at in scored], options)
    fates = [*fates, *[BLANK] * (len(kept) - len(scored))]
    results: list[Result] = []
    for place, at in enumerate(kept):
        logit = logits.get(at, -inf)
        told: Told = {}
        if options.evidence:
            told = _told(texts.get(place), fates[place], counts, query, documents[at][1])
            if options.reports_omitted:
                told["evidence_omitted"] = fates[place]
        results.append(
            {
                "index": at,
                "doc_id": documents[at][0],
                "relevance_score": round(relevance_score(logit), DECIMALS),
                "logit": round(logit, DECIMALS) if at in logits else None,
                "verdict": verdict_of(logit),
                **told,
                "truncated": at in replies and bool(replies[at].value["truncated"]),
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
    """Have texts written as `allot` says: its fates, and all that was written, by place."""
    texts: dict[int, Reply] = {}
    rounds = allot(logits, options)
    try:
        places = next(rounds)
        while True:
            replies = yield [rerank_request(runtime, tasks[place]) for place in places]
            texts |= zip(places, replies, strict=True)
            places = rounds.send([reply.usage.output_tokens for reply in replies])
    except StopIteration as end:
        return end.value, texts


def _told(
    reply: Reply | None, fate: str | None, counts: Counter[str], query: str, document: str
) -> Told:
    """The text of a document, or its lack; counted. Entities that neither query nor document has
    become their characters."""
    if fate is not None or reply is None:
        counts[f"omitted_{fate}"] += 1
        return {"contribution": None, "evidence": None, "format_ok": None}
    parsed = parse_text(str(reply.value["text"]).replace("\0", "\ufffd"))  # rows hold no NUL
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
