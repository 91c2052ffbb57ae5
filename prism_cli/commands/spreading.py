"""Options of commands whose shards several processes may work, and the spread that they choose."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from prism_cli.commands.options import Common, Paid, panel_option

if TYPE_CHECKING:
    from prism_cli.engine.run_options import RunOptions
    from prism_cli.engine.spread import Spread
    from prism_cli.engine.stage import RowStage
    from prism_cli.engine.stage_spec import StageSpec

_spread_option = functools.partial(panel_option, panel="Several processes or machines")


@dataclass
class SpreadOptions:
    """Options of a command whose shards several processes may work."""

    join: Annotated[
        bool,
        _spread_option(
            "--join",
            help="Share a folder of shards with other processes that run the same command.",
        ),
    ] = False
    engine_on: Annotated[
        Literal["ray"] | None,
        _spread_option(
            "--engine-on", metavar="ray", help="Hand the shards to actors of a Ray cluster."
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        _spread_option(
            "--ray-address",
            metavar="ADDRESS",
            help="The cluster: auto or HOST:PORT; default: one of its own.",
        ),
    ] = None
    workers: Annotated[
        int | None, _spread_option("--workers", min=1, help="Actors at work; default 1.")
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        _spread_option("--gpus-per-worker", min=0, help="GPUs of each actor; default 0."),
    ] = None
    shard_attempts: Annotated[
        int,
        _spread_option(
            "--shard-attempts",
            min=1,
            help="Lost workers after which a shard is given up; default 3.",
        ),
    ] = 3
    stall_seconds: Annotated[
        float,
        _spread_option(
            "--stall-seconds",
            min=1,
            help="Replace a worker without progress; default 900.",
        ),
    ] = 900.0


@dataclass
class SpreadCommon(SpreadOptions, Common):
    """Shared options of a command without paid requests whose shards several processes may work."""


@dataclass
class SpreadPaid(SpreadOptions, Paid):
    """Shared options of a command whose shards several processes may work, unless it sends
    requests to providers."""


def spread_of(
    common: Common, stage: "RowStage", spec: "StageSpec | None", options: "RunOptions"
) -> "Spread | None":
    """Return the spread that the options choose; None for this process alone.

    Raises:
        UsageError: the stage sends requests to servers, the options exclude each other, or the run
            has nothing to share.
        MissingPackageError: Ray is not installed.
    """
    from prism_cli.engine.spread import Join
    from prism_cli.errors import UsageError

    if not isinstance(common, SpreadOptions):
        return None
    for name in ("workers", "gpus_per_worker", "ray_address"):
        if getattr(common, name) is not None and not common.engine_on:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option}: is an option of --engine-on ray, which is not given")
    if not (common.join or common.engine_on):
        return None
    option = "--join" if common.join else f"--engine-on {common.engine_on}"
    if common.join and common.engine_on:
        raise UsageError("--join and --engine-on: give one of them; each hands out all shards")
    if str(common.output) == "-" or options.batch:
        what = "-o -" if str(common.output) == "-" else "--batch"
        raise UsageError(f"{option}: not with {what}, which is for one process")
    if spec is None:
        raise UsageError(f"{option}: not with --query, which is ranked by one process")
    if servers := stage.server_specs():
        raise UsageError(
            f"{option}: {', '.join(servers)} is asked over HTTP; budget and rate limits are those "
            "of one process, which sends as many requests at once as --concurrency says. Leave out "
            f"{option}. For several servers of your own, name the base_url of a load balancer"
        )
    if common.join and options.overwrite:
        raise UsageError(
            "--join: not with --overwrite, --fresh or --retry-final, with which each process would "
            "make all shards again. Delete those to be made again, or use --if-changed redo for "
            "those whose input or settings changed"
        )
    if common.join:
        return Join()
    from prism_cli.spreads.ray_actors import RayActors

    return RayActors(
        spec,
        options,
        address=common.ray_address,
        workers=common.workers or 1,
        gpus=common.gpus_per_worker or 0.0,
        attempts=common.shard_attempts,
        stall_seconds=common.stall_seconds,
    )
