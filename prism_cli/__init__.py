"""prism: rerankers that give a score, a verdict, a contribution and an evidence passage."""

__version__ = "0.1.0"
