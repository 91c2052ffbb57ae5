"""Bodies of rerank requests, in the forms of Cohere, Jina, Voyage, vLLM, TEI, NIM and Mixedbread.

The body tells the dialect: `texts` is TEI, `passages` NIM, `input` Mixedbread, `documents` all
others. Null is the default of every option, unknown keys are ignored, and "true" and "5" are read
as what they say.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from prism_cli.domain.defaults import MAX_NEW_TOKENS, MOST_NEW_TOKENS
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.scoring import BOUNDARY
from prism_cli.errors import ArgumentError
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.rows.candidates import Candidate
from prism_cli.rows.row import json_type
from prism_cli.serving.service import TooLargeError

Dialect = Literal["rerank", "tei", "nim", "mixedbread"]
MAX_DOCUMENTS = 1_000
"""Most documents of a request."""
MAX_RANK_FIELDS = 32
"""Most names of `rank_fields`; each document is searched for each of them."""
EVIDENCE_SUFFIX = ":evidence"
"""End of a model name that requests evidence, for clients that drop unknown fields."""
LIMITS = ("evidence_top", "max_evidence_tokens", "threshold")
"""Keys that request evidence, too."""
TEXT_KEYS = ("text", "content", "page_content")
"""Keys of a document's text, in the forms of several libraries."""
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_FIELDS: Mapping[Dialect, str] = {
    "tei": "texts",
    "nim": "passages",
    "rerank": "documents",
    "mixedbread": "input",
}


def _number_of_all(value: Any) -> Any:
    return None if value in (0, "0") else value


Count = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_number_of_all)]


class RerankBody(BaseModel):
    """A rerank request.

    Attributes:
        query: or {"text": query}, as NIM sends it.
        documents, texts, passages, input: strings, or {"text", "title", "doc_id"}.
        rank_fields: keys of the documents to read instead of `text`.
        top_n, top_k: most results; 0 or null for all.
        return_documents, return_input, return_text: add each document to its result.
        raw_scores: scores are logits.
        evidence: write contribution and evidence; also by a model name that ends in `:evidence`.
        evidence_top, max_evidence_tokens, threshold, max_new_tokens, grounding, skip_repeats: as
            options of `prism rerank`; the first three request evidence.
        stream: reply with server-sent events.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str
    documents: list[Any] | None = None
    texts: list[Any] | None = None
    passages: list[Any] | None = None
    input: list[Any] | None = None
    rank_fields: Annotated[list[str], Field(max_length=MAX_RANK_FIELDS)] | None = None
    model: str = ""
    top_k: Count = None  # first, so that its fault is not told of top_n, which has its value
    top_n: Count = None
    return_documents: bool | None = None
    return_input: bool | None = None
    return_text: bool = False
    raw_scores: bool = False
    evidence: bool = False
    evidence_top: Annotated[int, Field(ge=1)] | None = None
    max_evidence_tokens: Annotated[int, Field(ge=1)] | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = BOUNDARY
    max_new_tokens: Annotated[int, Field(ge=1, le=MOST_NEW_TOKENS)] = MAX_NEW_TOKENS
    grounding: Literal["repair", "report", "off"] = "repair"
    evidence_from: Literal["model", "selected", "extractive"] | None = None
    skip_repeats: bool = False
    stream: bool = False

    @model_validator(mode="before")
    @classmethod
    def _with_plain_query(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        query = body.get("query")
        return {**body, "query": query.get("text")} if isinstance(query, dict) else body


@dataclass(frozen=True, slots=True)
class RerankCall:
    """A request that was read.

    Attributes:
        texts: of the documents, as the caller gave them, for replies.
    """

    dialect: Dialect
    body: RerankBody
    documents: list[Candidate]
    texts: list[str]
    options: RankOptions


def read_json(raw: bytes) -> dict[str, Any]:
    """Return the object that a body is.

    Raises:
        ArgumentError: it is none.
    """
    raw = raw.removeprefix(BOM_UTF8)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            value = orjson.loads(with_whole_characters(raw))
        except orjson.JSONDecodeError:
            raise ArgumentError(f"body: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentError(f"body: expected an object, found {json_type(value)}")
    return value


def with_whole_characters(raw: bytes) -> bytes:
    """Return JSON with U+FFFD for each half of a surrogate pair; what is no JSON, as it is.

    JavaScript cuts texts between the halves of an emoji.
    """
    try:
        text = json.dumps(json.loads(raw), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return raw
    return _HALF_PAIR.sub("\ufffd", text).encode()


def read_call(value: Mapping[str, Any], defaults: Mapping[str, Any]) -> RerankCall:
    """Return the request with this body.

    Args:
        defaults: values of keys that the body has not.

    Raises:
        ArgumentError: a key has another type or value; names the key.
        TooLargeError: it has more than MAX_DOCUMENTS documents.
    """
    try:
        body = RerankBody.model_validate({**defaults, **_requests(value)})
    except ValidationError as error:
        raise ArgumentError(_fault(error)) from None
    given = [name for name, field in _FIELDS.items() if getattr(body, field) is not None]
    if not given:
        raise ArgumentError("documents: expected an array, found no such key")
    dialect = given[0]
    entries: list[Any] = getattr(body, _FIELDS[dialect])
    if len(entries) > MAX_DOCUMENTS:
        raise TooLargeError(
            f"{_FIELDS[dialect]}: expected at most {MAX_DOCUMENTS:,}, found {len(entries):,}; "
            "send them in several requests"
        )
    entries = [_document(one, body.rank_fields) for one in entries]
    documents = caller_documents(body.query, entries)
    texts = [one if isinstance(one, str) else one["text"] for one in entries]
    return RerankCall(dialect, body, documents, texts, _options(body))


def _document(entry: Any, rank_fields: Sequence[str] | None) -> Any:
    """Return a document whose text is in `text`; one without text, or of another type, as it is."""
    if not isinstance(entry, dict):
        return entry
    if rank_fields:
        names = dict.fromkeys(rank_fields)  # each once: a list of many would make a huge text
        parts = [entry[name] for name in names if isinstance(entry.get(name), str)]
        return {"text": "\n".join(parts), "doc_id": entry.get("doc_id")} if parts else entry
    texts = [entry[name] for name in TEXT_KEYS if isinstance(entry.get(name), str)]
    return {**entry, "text": texts[0]} if texts else entry


def _requests(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a body that are not null; evidence is requested by its limits, too."""
    given = {name: one for name, one in value.items() if one is not None}
    if any(name in given for name in LIMITS) or str(given.get("model")).endswith(EVIDENCE_SUFFIX):
        given.setdefault("evidence", True)
    if "top_k" in given:
        given.setdefault("top_n", given["top_k"])  # before the server's own
    return given


def _options(body: RerankBody) -> RankOptions:
    """Return the options of the ranking."""
    return RankOptions(
        evidence=body.evidence,
        max_new_tokens=body.max_new_tokens,
        top_n=body.top_n,
        evidence_top=body.evidence_top,
        threshold=body.threshold,
        max_evidence_tokens=body.max_evidence_tokens,
        grounding=body.grounding,
        evidence_from=body.evidence_from,
        skip_repeats=body.skip_repeats,
    )


def _fault(error: ValidationError) -> str:
    """Return the first fault of a body in words: key, what was expected, what was found."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"])) or "body"
    if first["type"] == "missing":
        return f"{key}: expected a value, found no such key"
    if first["type"] == "too_long":
        limits = first["ctx"]
        return f"{key}: expected at most {limits['max_length']}, found {limits['actual_length']:,}"
    value = first["input"]
    long = isinstance(value, list | dict)  # the text of millions of values takes seconds
    found = json_type(value) if long else repr(str(value)[:60])
    return f"{key}: {first['msg'].lower()}, found {found}"
