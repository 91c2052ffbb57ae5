"""`prism serve`: the reranker over HTTP."""

import ipaddress
import os
from pathlib import Path

import typer

from prism_cli.commands.serving import Common, load_ranker, needs, say, tool_options
from prism_cli.commands.settings import with_settings
from prism_cli.configs.serve import ServeConfig

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism serve --model hf:prism-tiny; curl localhost:8010/v1/rerank "
    """-d '{"query": "what is BM25?", "documents": ["BM25 is a ranking function."], """
    """"evidence": true}'""",
)


@app.command()
@with_settings(ServeConfig, "serve")
def serve(*, config: ServeConfig, common: Common) -> None:
    """Answer rerank requests over HTTP, as Cohere, Jina, Voyage, vLLM, TEI and NIM do.

    Clients of these set this server's address as their base URL. A request asks for evidence with
    "evidence": true, or with the model name NAME:evidence. The model loads behind the server:
    /ready says when.
    """
    listen(config, common)


def listen(config: ServeConfig, common: Common, root: Path | None = None) -> None:
    """Serve until a signal.

    Args:
        root: folder whose files the MCP tool may read; None for none.
    """
    from prism_cli.commands import wiring
    from prism_cli.errors import UsageError
    from prism_cli.serving.keys import VARIABLE, ApiKeys

    keys = ApiKeys(os.environ.get(VARIABLE, "").split(","))
    if not keys and config.auth and not _is_loopback(config.host):
        raise UsageError(
            f"--host {config.host}: other machines could call without a key; set {VARIABLE} to "
            "keys separated by commas, or pass --no-auth"
        )
    wiring.check_model("reranker", config.model)
    with needs("serve"):
        from prism_cli.serving.app import ServerInfo, create_app
        from prism_cli.serving.mcp_tool import mcp_server
        from prism_cli.serving.mcp_transports import MCP_PATH, mcp_app
        from prism_cli.serving.server import address, listening_socket, run_server
    from prism_cli.serving.service import Service
    from prism_cli.version import __version__

    listening = listening_socket(config.host, config.port)
    service = Service(config.deadline)
    info = ServerInfo(
        config.name or config.model,
        __version__,
        request_defaults(config),
        config.cors,
    )
    say(f"prism: {address(listening)} · model {info.model} is loading")

    tool = mcp_server(service, __version__, root, options=tool_options(config))
    # With keys, any Host header will do: pages of other hosts do not know one.
    mounted = {MCP_PATH: mcp_app(tool, "" if keys else config.host)}

    def log(line: str) -> None:
        if not common.quiet:
            say(line)

    run_server(
        lambda life: create_app(service, info, keys, log, life, mounted),
        service,
        listening,
        lambda: load_ranker(config),
        config.grace,
        tool.session_manager.run(),
    )
    say("prism: stopped")


def request_defaults(config: ServeConfig) -> dict[str, object]:
    """Return the values of the keys that a request has not."""
    from prism_cli.serving.messages import RerankBody

    return {
        name: getattr(config, name) for name in RerankBody.model_fields if hasattr(config, name)
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
