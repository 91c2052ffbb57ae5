"""Settings of `prism shard`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from prism_cli.configs.base import Option, StageConfig


@dataclass(frozen=True, kw_only=True)
class ShardConfig(StageConfig):
    """Size and compression of the shards."""

    rows: Annotated[
        int, Ge(1), Option("Rows of a shard: the next one begins with the first query after them.")
    ] = 20_000
    compress: Annotated[
        Literal["none", "gz", "zst"] | None,
        Option("Compression of the shards.", default="that of the first input"),
    ] = None
