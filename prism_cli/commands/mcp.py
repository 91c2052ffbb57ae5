"""`prism mcp`: the reranker as a tool of agents."""

from pathlib import Path
from typing import Annotated

import typer

from prism_cli.commands.serving import Common, check_engine, load_ranker, needs
from prism_cli.commands.settings import with_settings
from prism_cli.configs.rerank import RerankConfig

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism mcp --model hf:prism-tiny; claude mcp add prism -- prism mcp --model "
    "hf:prism-tiny",
)


@app.command()
@with_settings(RerankConfig, "rerank")
def mcp(
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder whose text files the agent may name instead of sending their text.",
            exists=True,
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    *,
    config: RerankConfig,
    common: Common,
) -> None:
    """Give an agent the tool read_documents, over standard input and output (MCP).

    It says which documents answer a question, and returns what each contributes and the passage to
    cite. The model loads behind the first message. Over HTTP: prism serve, at /mcp.
    """
    import asyncio

    from prism_cli.commands import wiring
    from prism_cli.serving.service import Service
    from prism_cli.version import __version__

    check_engine(config)
    wiring.check_model("reranker", config.model)
    with needs("mcp"):
        from prism_cli.serving.mcp_tool import mcp_server
    service = Service()
    server = mcp_server(service, __version__, root)

    async def run() -> None:
        loading = asyncio.create_task(service.load(lambda: load_ranker(config)))
        try:
            await server.run_stdio_async()
        finally:
            loading.cancel()
            await service.close()

    asyncio.run(run())
