"""Replies to rerank requests that the clients of every dialect read."""

import uuid
from typing import Any

from prism_cli.errors import ArgumentError, RowError
from prism_cli.ranking import Ranking, Result
from prism_cli.serving.messages import RerankCall
from prism_cli.serving.service import (
    DeadlineError,
    QueueFullError,
    SlowBodyError,
    Ticket,
    TooLargeError,
    UnavailableError,
)

RETRY_LOADING = 5
"""Seconds after which a caller may try again while the model is loading."""
TEI_TEXTS = ("contribution", "evidence", "citations", "evidence_omitted")
"""Fields of a result that TEI's reply has besides its own where evidence was requested."""
Body = dict[str, Any]
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout",
    413: "request_too_large",
    422: "validation",
    429: "rate_limit_error",
    500: "internal_error",
    503: "unavailable",
    504: "timeout",
}


def reply_body(
    call: RerankCall, ranking: Ranking, ticket: Ticket, model: str, *, returns_documents: bool
) -> Any:
    """Return the JSON value of the reply in the dialect of the request.

    Args:
        ticket: with the tokens that were read.
        returns_documents: where the request does not say.
    """
    if call.dialect == "tei":
        return [_tei(call, result) for result in ranking.results]
    if call.dialect == "nim":
        rankings = [
            {"index": result["index"], "logit": _logit(result)} for result in ranking.results
        ]
        return {"rankings": rankings, "usage": _usage(ticket, ranking)}
    asked = call.body.return_documents
    if call.dialect == "mixedbread":
        asked = bool(asked or call.body.return_input)
    returns_documents = returns_documents if asked is None else asked
    results = [_result(call, result, returns_documents) for result in ranking.results]
    usage = _usage(ticket, ranking)
    reply = {
        "id": f"rerank-{uuid.uuid4().hex}",
        "object": "rerank",
        "model": model,
        "results": results,
        "data": [
            {name: result[name] for name in ("index", "relevance_score")} for result in results
        ],
        "usage": usage,
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {
                "input_tokens": usage["prompt_tokens"],
                "output_tokens": usage["completion_tokens"],
            },
        },
    }
    if call.dialect == "mixedbread":
        reply |= {"object": "list", "data": [_mixedbread(one) for one in results]}
    return reply


def log_figures(ranking: Ranking, ticket: Ticket) -> dict[str, int]:
    """Return the figures of an answered request for the log: tokens read and written."""
    return {"tokens": ticket.read, "written": ranking.counts["tokens_written"]}


def error_body(status: int, message: str, *, tei: bool = False) -> Body:
    """Return the JSON object of an error, which the clients of every dialect read."""
    kind = _TYPES.get(status, "error")
    if tei:
        return {"error": message, "error_type": kind}
    return {
        "error": {"message": message, "type": kind, "code": status},
        "message": message,
        "detail": message,
    }


def status_of(error: Exception, *, tei: bool = False) -> tuple[int, dict[str, str]]:
    """Return the HTTP status of an error, and headers."""
    if isinstance(error, TooLargeError):
        return 413, {}
    if isinstance(error, QueueFullError):
        return 429, {"retry-after": str(error.retry_after)}
    if isinstance(error, UnavailableError):
        return 503, {"retry-after": str(RETRY_LOADING)}
    if isinstance(error, DeadlineError):
        return 504, {}
    if isinstance(error, SlowBodyError):
        return 408, {"connection": "close"}
    if isinstance(error, (ArgumentError, RowError)):
        return (422 if tei else 400), {}
    return 500, {}


def _result(call: RerankCall, result: Result, returns_document: bool) -> Body:
    body: Body = {name: value for name, value in result.items() if value is not None}
    if call.body.raw_scores:
        body["relevance_score"] = _logit(result)
    if returns_document:
        body["document"] = {"text": call.texts[result["index"]]}
    return body


def _mixedbread(result: Body) -> Body:
    more = {"input": result["document"]["text"]} if "document" in result else {}
    one = {name: value for name, value in result.items() if name != "document"}
    return {**one, "score": one["relevance_score"], "object": "rank_result"} | more


def _tei(call: RerankCall, result: Result) -> Body:
    score = _logit(result) if call.body.raw_scores else result["relevance_score"]
    text = {"text": call.texts[result["index"]]} if call.body.return_text else {}
    evidence = {
        name: value for name, value in result.items() if name in TEI_TEXTS and value is not None
    }
    return {"index": result["index"], "score": score} | text | evidence


def _logit(result: Result) -> float:
    """Return the logit of a result; of a blank document one below every other."""
    logit = result["logit"]
    return BLANK_LOGIT if logit is None else logit


def _usage(ticket: Ticket, ranking: Ranking) -> Body:
    written = ranking.counts["tokens_written"]
    return {
        "prompt_tokens": ticket.read,
        "completion_tokens": written,
        "total_tokens": ticket.read + written,
    }


BLANK_LOGIT = -100.0
"""Logit of a blank document, which the model does not read."""
