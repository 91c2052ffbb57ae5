"""Stages that have settings, and the class of each: <Stage>Config in
prism_cli.configs.<stage>, such as SplitConfig in prism_cli.configs.split."""

import importlib

from prism_cli.configs.base import StageConfig
from prism_cli.errors import UsageError

STAGES = (
    "collect", "convert", "distill", "eval", "eval-answers", "eval-labels", "eval-quality",
    "relabel", "rerank", "rewrite-queries", "sample", "serve", "shard", "split", "synthesize",
    "train",
)  # fmt: skip


def config_class(stage: str) -> type[StageConfig]:
    """Return the settings class of a stage.

    Raises:
        UsageError: no such stage.
    """
    if stage not in STAGES:
        raise UsageError(f"{stage}: no such stage; expected one of {', '.join(STAGES)}")
    module = importlib.import_module(f"prism_cli.configs.{stage.replace('-', '_')}")
    config: type[StageConfig] = getattr(module, f"{stage.title().replace('-', '')}Config")
    return config
