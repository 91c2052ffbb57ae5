"""prism: rerankers that give a score, a verdict, a contribution and an evidence passage."""

from typing import TYPE_CHECKING

from prism_cli.version import __version__

if TYPE_CHECKING:
    from prism_cli.reranker import Reranker as Reranker

__all__ = ["Reranker", "__version__"]


def __getattr__(name: str) -> object:
    """Load `Reranker` at its first use: `import prism_cli` loads nothing."""
    if name == "Reranker":
        from prism_cli.reranker import Reranker

        return Reranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
