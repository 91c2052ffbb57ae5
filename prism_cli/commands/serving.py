"""Shared parts of `prism serve` and `prism mcp`: common options, loading of the model."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, cast

import typer

from prism_cli.commands.options import PANEL, Recipe, Sets
from prism_cli.reporting.sanitize import escape_invisible

if TYPE_CHECKING:
    from prism_cli.configs.rerank import RerankConfig
    from prism_cli.configs.serve import ServeConfig
    from prism_cli.domain.evidence_budget import RankOptions
    from prism_cli.serving.model_queue import SteppedRuntime
    from prism_cli.serving.ranker import Ranker


@dataclass
class Common:
    """Options that a server shares with the other commands."""

    recipe: Recipe = None
    sets: Sets = field(default_factory=list)
    quiet: Annotated[
        bool,
        typer.Option("-q", "--quiet", help="No line for each request.", rich_help_panel=PANEL),
    ] = False
    seed: Annotated[int | None, typer.Option(hidden=True)] = None


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing package into the error that names the extra."""
    from prism_cli.errors import MissingPackageError

    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError(str(error.name), extra) from None


def load_ranker(config: "RerankConfig") -> "Ranker":
    """Load the model, and try it."""
    from prism_cli.commands import wiring
    from prism_cli.serving.engine_queue import EngineQueue
    from prism_cli.serving.model_queue import ModelQueue
    from prism_cli.serving.ranker import Ranker

    queue: ModelQueue | EngineQueue
    if config.engine == "vllm":
        engine, runtime = wiring.vllm_engine(config)
        queue = EngineQueue(engine)
    else:
        runtime = wiring.reranker(config.model, config).runtime
        queue = ModelQueue(cast("SteppedRuntime", getattr(runtime, "inner", runtime)))
    _, warning = wiring.canary(runtime)
    if warning:
        say(f"prism: warning: {warning}")
    say(f"prism: ready · {config.model}")
    return Ranker(runtime, queue)


def tool_options(config: "ServeConfig") -> "RankOptions":
    """Return the options of the MCP tool's calls."""
    from prism_cli.domain.evidence_budget import RankOptions

    return RankOptions(
        max_new_tokens=config.max_new_tokens,
        evidence_top=config.evidence_top,
        threshold=config.threshold,
        grounding=config.grounding,
        evidence_from=config.evidence_from,
        skip_repeats=True,
    )


def say(line: str) -> None:
    """Print a line for the person who started the server."""
    with suppress(OSError):  # a full disk or a reader that left must not stop the server
        print(escape_invisible(line), file=sys.stderr, flush=True)
