"""The MCP tool `read_documents`: which documents answer a query, and what they say."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field
from starlette.types import ASGIApp

from prism_cli.domain.defaults import MAX_NEW_TOKENS
from prism_cli.domain.evidence_budget import RankOptions
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.errors import PrismError, RowError
from prism_cli.ranking import Result
from prism_cli.rows.caller_documents import caller_documents
from prism_cli.serving.messages import MAX_DOCUMENTS
from prism_cli.serving.service import Service

MCP_PATH = "/mcp"
MAX_EVIDENCE_TOKENS = 6_000
MAX_REPLY_TOKENS = 9_000
"""Most tokens of a reply, estimated; agents refuse longer ones."""
MAX_FILE_BYTES = 16 * 1024 * 1024
PROGRESS_SECONDS = 1.0
INSTRUCTIONS = (
    "Call read_documents before reading search results or files in full: it says which of them "
    "answer the question, and returns what each contributes and the passage to cite."
)


class Document(BaseModel):
    """A document: its text, or a file under the server's root."""

    text: str | None = None
    title: str | None = None
    path: str | None = Field(None, description="File under the server's --root, instead of text.")


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


def mcp_server(service: Service, version: str, root: Path | None = None) -> MCPServer:
    """Return the MCP server of a service.

    Args:
        root: folder whose files may be read; None for none.
    """
    server = MCPServer("prism", instructions=INSTRUCTIONS, version=version, log_level="WARNING")
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
        documents: list[str | Document],
        ctx: Context,
        max_tokens: Annotated[int, Field(ge=0, le=MAX_EVIDENCE_TOKENS)] = 800,
    ) -> Annotated[CallToolResult, Reading]:
        if len(documents) > MAX_DOCUMENTS:
            raise ToolError(
                f"documents: expected at most {MAX_DOCUMENTS:,}, found {len(documents):,}; call "
                "again with the rest"
            )
        try:
            texts = [await asyncio.to_thread(_text, one, root) for one in documents]
            candidates = caller_documents(query, texts)
            await _until_ready(service, ctx)
            options = RankOptions(
                evidence=max_tokens > 0,
                max_evidence_tokens=max_tokens or None,
                max_new_tokens=min(MAX_NEW_TOKENS, max_tokens or MAX_NEW_TOKENS),
                skip_repeats=True,
            )
            ranking, _ = await service.rank(query, candidates, options)
        except (PrismError, RowError) as error:
            raise ToolError(str(error)) from None
        reading = _reading(ranking.results, ranks_only=not max_tokens)
        return CallToolResult(
            content=[TextContent(type="text", text=_short(reading))],
            structured_content=reading.model_dump(exclude_none=True),
        )

    return server


def mcp_app(server: MCPServer, host: str) -> ASGIApp:
    """Return the server as an application for MCP_PATH, over streamable HTTP without sessions.

    Args:
        host: address that is listened on; on loopback, calls by the pages of other hosts are
            refused.
    """
    return server.streamable_http_app(
        streamable_http_path=MCP_PATH, stateless_http=True, host=host,
        max_request_body_size=MAX_FILE_BYTES,
    )  # fmt: skip


async def _until_ready(service: Service, ctx: Context) -> None:
    """Wait until the model is loaded, and report that it is being loaded.

    Raises:
        PrismError: it cannot be loaded.
    """
    waited = 0.0
    while not service.ready:
        if service.failure is not None:
            raise service.failure
        await ctx.report_progress(waited, None, "the model is loading")
        await asyncio.sleep(PROGRESS_SECONDS)
        waited += PROGRESS_SECONDS


def _text(document: str | Document, root: Path | None) -> dict[str, str]:
    """Return the text and title of a document.

    Raises:
        ToolError: it has none, or its file cannot be read.
    """
    if isinstance(document, str):
        return {"text": document}
    title = {"title": document.title} if document.title else {}
    if document.path is None:
        if document.text is None:
            raise ToolError("documents: expected a text, or an object with text or path")
        return {"text": document.text, **title}
    return {"text": _file_text(document.path, root), **title}


def _file_text(path: str, root: Path | None) -> str:
    if root is None:
        raise ToolError(f"path {path!r}: this server reads no files; it was started without --root")
    try:
        folder = root.resolve(strict=True)
        file = (folder / path).resolve(strict=True)  # follows links before the check
        if not file.is_relative_to(folder) or not file.is_file():
            raise ToolError(f"path {path!r}: expected a file under the server's folder")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ToolError(f"path {path!r}: expected at most {MAX_FILE_BYTES // 2**20} MiB")
        return file.read_text("utf-8")
    except (OSError, ValueError):
        raise ToolError(f"path {path!r}: expected a readable text file in UTF-8") from None


def _reading(results: list[Result], *, ranks_only: bool) -> Reading:
    """Return the results as the tool shows them, in at most MAX_REPLY_TOKENS."""
    reading = Reading(relevant=[], irrelevant=[], omitted=[])
    tokens = 0
    for result in results:
        if result["verdict"] == "no":
            reading.irrelevant.append(result["index"])
            continue
        evidence = result.get("evidence")
        one = Relevant(
            index=result["index"],
            score=round(result["relevance_score"], 3),
            contribution=result.get("contribution"),
            evidence=evidence,
            citations=[dict(citation) for citation in result.get("citations") or ()],
        )
        tokens += 2 * estimate_tokens(one.model_dump_json(exclude_none=True))
        if (evidence or ranks_only) and tokens <= MAX_REPLY_TOKENS:
            reading.relevant.append(one)
        else:
            reading.omitted.append(result["index"])
    return reading


def _short(reading: Reading) -> str:
    """Return the reading as text, for clients that show no structured content."""
    lines = [
        f"[{one.index}] {one.score:.2f}" + (f" {one.evidence}" if one.evidence else "")
        for one in reading.relevant
    ]
    for name, indices in (("irrelevant", reading.irrelevant), ("omitted", reading.omitted)):
        if indices:
            lines.append(f"{name}: {', '.join(map(str, indices))}")
    return "\n".join(lines) or "no documents"
