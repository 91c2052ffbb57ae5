"""The MCP tool `read_documents`: which documents answer a query, and what they say."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.errors import PrismError, RowError
from prism_cli.reporting.sanitize import escape_invisible, one_line
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving.messages import MAX_DOCUMENTS
from prism_cli.serving.service import Service

if TYPE_CHECKING:
    from prism_cli.domain.grounded_texts import Citation
    from prism_cli.ranking import Result

DEFAULTS = RankOptions(skip_repeats=True)
MAX_EVIDENCE_TOKENS = 6_000
MAX_REPLY_TOKENS = 9_000
"""Most tokens of a reply, estimated; agents refuse longer ones."""
MAX_BYTES = 16 * 1024 * 1024
"""Most bytes of a call's documents, those of files included."""
MAX_ERROR = 600
"""Most characters of an error's message."""
MAX_GAP = 2
"""Most characters between two citations that become one."""
PROGRESS_SECONDS = 1.0
INSTRUCTIONS = (
    "Call read_documents before reading search results or files in full: it says which of them "
    "answer the question, and returns what each contributes and the passage to cite."
)


class Document(BaseModel):
    """A document: its text, or else a file under the server's root."""

    text: str | None = None
    title: str | None = None
    path: str | None = Field(
        default=None, description="File under the server's --root, instead of text."
    )


def _not_too_many(documents: Any) -> Any:
    if isinstance(documents, list) and len(documents) > MAX_DOCUMENTS:
        expected = f"expected at most {MAX_DOCUMENTS:,}"
        raise PydanticCustomError(
            "too_many", f"{expected}, found {len(documents):,}; call again with the rest"
        )
    return documents


Documents = Annotated[
    list[str | Document],
    BeforeValidator(_not_too_many),
    Field(json_schema_extra={"maxItems": MAX_DOCUMENTS}),
]


class Relevant(BaseModel):
    """A document that answers the query."""

    index: int
    score: float
    contribution: str | None = None
    evidence: str | None = None
    citations: list[dict[str, Any]] = []


class Reading(BaseModel):
    """Documents by whether they answer the query.

    Attributes:
        relevant: best first, as far as max_tokens allows.
        irrelevant: indices of documents that do not answer it.
        omitted: indices of documents that do, but whose evidence found no room, or says nothing
            new.
    """

    relevant: list[Relevant]
    irrelevant: list[int]
    omitted: list[int]


class Server(MCPServer):
    """An MCP server with short errors that says when a client begins to use it.

    Args:
        on_use: called when a client lists the tools or calls one.
    """

    def __init__(self, version: str, on_use: Callable[[], None]) -> None:
        super().__init__("prism", instructions=INSTRUCTIONS, version=version, log_level="WARNING")
        self._on_use = on_use

    async def list_tools(self) -> list[Tool]:
        self._on_use()
        return await super().list_tools()

    async def call_tool(
        self, name: str, arguments: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        self._on_use()
        try:
            return await super().call_tool(name, arguments, *args, **kwargs)
        except ToolError as error:  # pydantic's has several lines for each document
            raise type(error)(one_line(str(error), MAX_ERROR)) from error.__cause__


def mcp_server(
    service: Service,
    version: str,
    root: Path | None = None,
    on_use: Callable[[], None] = lambda: None,
    options: RankOptions = DEFAULTS,
) -> MCPServer:
    """Return the MCP server of a service.

    Args:
        root: folder whose files may be read; None for none.
        on_use: called when a client lists the tools or calls one.
        options: of each call, besides the tokens of its evidence.
    """
    server = Server(version, on_use)
    where = "" if root is None else " or a {path} under the server's folder"

    @server.tool(
        title="Read documents for a question",
        description=(
            "Says which documents answer a query, best first, with a one-sentence contribution "
            f"and a self-contained evidence passage for each. A document is a text{where}. "
            "max_tokens limits the evidence of all documents together; 0 only ranks."
        ),
        annotations=ToolAnnotations(
            read_only_hint=True, idempotent_hint=True, destructive_hint=False, open_world_hint=False
        ),
    )
    async def read_documents(
        query: str,
        documents: Documents,
        ctx: Context,
        max_tokens: Annotated[int, Field(ge=0, le=MAX_EVIDENCE_TOKENS)] = 800,
    ) -> Annotated[CallToolResult, Reading]:
        try:
            texts = await asyncio.to_thread(_texts, documents, root)
            candidates = caller_documents(query, texts)
            await _until_ready(service, ctx)
            limits = replace(
                options,
                evidence=max_tokens > 0,
                max_evidence_tokens=max_tokens or None,
                max_new_tokens=min(options.max_new_tokens, max_tokens or options.max_new_tokens),
            )
            ranking, _ = await service.rank(query, candidates, limits)
        except (PrismError, RowError) as error:
            raise ToolError(str(error)) from None
        reading = _reading(ranking.results, ranks_only=not max_tokens)
        return CallToolResult(
            content=[TextContent(type="text", text=_short(reading))],
            structured_content=reading.model_dump(exclude_none=True),
        )

    return server


async def _until_ready(service: Service, ctx: Context) -> None:
    """Wait until the model is loaded, or cannot be, and report that it is being loaded."""
    waited = 0.0
    while service.loading:
        await ctx.report_progress(waited, None, "the model is loading")
        await asyncio.sleep(PROGRESS_SECONDS)
        waited += PROGRESS_SECONDS


def _texts(documents: Sequence[str | Document], root: Path | None) -> list[dict[str, str]]:
    """Return text and title of each document.

    Raises:
        ToolError: a document has no text, a file cannot be read, or they are too large.
    """
    left, texts = MAX_BYTES, []
    for document in documents:
        one = Document(text=document) if isinstance(document, str) else document
        text = one.text
        if text is None and one.path is None:
            raise ToolError("documents: expected a text, or an object with text or path")
        if text is None:
            text = _file_text(str(one.path), root, left)
        left -= len(f"{one.title or ''}{text}".encode("utf-8", "surrogatepass"))
        if left < 0:
            raise _too_large("documents")
        texts.append({"text": text, **({"title": one.title} if one.title else {})})
    return texts


def _too_large(name: str) -> ToolError:
    return ToolError(
        f"{name}: expected at most {MAX_BYTES // 2**20} MiB for all documents, found more; call "
        "again with fewer"
    )


def _file_text(path: str, root: Path | None, limit: int) -> str:
    """Return the text of a file, as it is: citations are ranges of it.

    Args:
        limit: bytes, of which one more is read.
    """
    name = f"path {one_line(path, 200)!r}"
    if root is None:
        raise ToolError(f"{name}: this server reads no files; it was started without --root")
    try:
        folder = root.resolve(strict=True)
        file = (folder / path).resolve(strict=True)  # follows links before the check
        if not file.is_relative_to(folder) or not file.is_file():
            raise ToolError(f"{name}: expected a file under the server's folder")
        # Neither a link nor a FIFO that took the file's place is followed or waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(file, "rb", opener=lambda opened, _: os.open(opened, flags)) as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise _too_large(name)
        return content.decode("utf-8")
    except FileNotFoundError:
        raise ToolError(f"{name}: expected a file under the server's folder") from None
    except (OSError, ValueError, RuntimeError):  # the last for links that form a loop
        raise ToolError(f"{name}: expected a readable text file in UTF-8") from None


def _reading(results: Sequence["Result"], *, ranks_only: bool) -> Reading:
    """Return the results as the tool shows them: as much as MAX_REPLY_TOKENS allow in both forms,
    structured and text."""
    relevant = [result for result in results if result["verdict"] == "yes"]
    irrelevant = [result["index"] for result in results if result["verdict"] == "no"]
    reading = Reading(relevant=[], irrelevant=irrelevant, omitted=[])
    omitted = ",".join(str(result["index"]) for result in relevant)
    tokens = sum(map(estimate_tokens, (reading.model_dump_json(), _short(reading), omitted * 2)))
    for result in relevant:
        evidence = result.get("evidence")
        one = Relevant(
            index=result["index"],
            score=round(result["relevance_score"], 3),
            contribution=result.get("contribution"),
            evidence=evidence,
            citations=_merged(result.get("citations") or ()),
        )
        size = estimate_tokens(one.model_dump_json(exclude_none=True)) + estimate_tokens(_head(one))
        if (evidence or ranks_only) and tokens + size <= MAX_REPLY_TOKENS:
            reading.relevant.append(one)
            tokens += size
        else:
            reading.omitted.append(result["index"])
    return reading


def _merged(citations: Sequence["Citation"]) -> list[dict[str, Any]]:
    """Return citations with those of neighbouring sentences, copied as they follow, as one."""
    merged: list[dict[str, Any]] = []
    for one in citations:
        last = merged[-1] if merged else None
        if last and last["field"] == one["field"]:
            gap = one["start"] - last["end"]
            if gap == one["source_start"] - last["source_end"] and 0 <= gap <= MAX_GAP:
                last |= {"end": one["end"], "source_end": one["source_end"]}
                continue
        merged.append(dict(one))
    return merged


def _short(reading: Reading) -> str:
    """Return the reading as text, one line a document, for clients that show no structured
    content."""
    lines = [_head(one) for one in reading.relevant]
    for name, indices in (("irrelevant", reading.irrelevant), ("omitted", reading.omitted)):
        if indices:
            lines.append(f"{name}: {_ranges(indices)}")
    return "\n".join(lines) or "no documents"


def _head(one: Relevant) -> str:
    """Return a document on one line: lines of its evidence cannot be taken for other documents."""
    evidence = " ".join(escape_invisible(one.evidence or "").split())
    return f"[{one.index}] {one.score:.2f} {evidence}".rstrip()


def _ranges(indices: Sequence[int]) -> str:
    """Return numbers in rising order, runs as FIRST-LAST."""
    runs = [
        [index for _, index in run]
        for _, run in groupby(enumerate(sorted(indices)), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else f"{run[0]}" for run in runs)
