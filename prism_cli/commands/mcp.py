"""`prism mcp`: the reranker as a tool of agents."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from prism_cli.commands.serving import Common, load_ranker, needs, say, tool_options
from prism_cli.commands.settings import with_settings
from prism_cli.configs.serve import ServeConfig

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism mcp --model hf:prism-tiny; claude mcp add prism -- prism mcp --model "
    "hf:prism-tiny",
)


@app.command()
@with_settings(ServeConfig, "serve")
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
    http: Annotated[
        bool,
        typer.Option(
            "--http", help="Over HTTP at /mcp of --host and --port, as `prism serve` does."
        ),
    ] = False,
    *,
    config: ServeConfig,
    common: Common,
) -> None:
    """Give an agent the tool read_documents, over standard input and output (MCP).

    It says which documents answer a question, and returns what each contributes and the passage to
    cite. The model loads behind the first messages.
    """
    if http:
        from prism_cli.commands.serve import listen

        listen(config, common, root)
        return
    from prism_cli.commands import wiring
    from prism_cli.serving.service import Service
    from prism_cli.version import __version__

    wiring.check_model("reranker", config.model)
    with needs("mcp"):
        from prism_cli.serving.mcp_tool import mcp_server
        from prism_cli.serving.mcp_transports import mend_standard_input
    service = Service(config.deadline)
    loading: list[asyncio.Task[None]] = []

    def load() -> None:
        if not loading:
            loading.append(asyncio.create_task(service.load(lambda: load_ranker(config))))

    server = mcp_server(service, __version__, root, load, tool_options(config))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _stop(128 + number))
    mend_standard_input()

    async def run() -> None:
        await server.run_stdio_async()
        _stop(0)

    asyncio.run(run())


def _stop(code: int) -> None:
    """End the process: neither a thread that loads the model or computes with it, nor one that
    waits for standard input, can be interrupted."""
    from prism_cli.serving.process_end import end_process

    say("prism: stopped")
    end_process(code)
