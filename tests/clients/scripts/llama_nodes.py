"""Nodes of llama-index for the documents."""

from typing import Any

from llama_index.core.schema import NodeWithScore, TextNode
from outcome import args, shown


def rank(postprocessor: Any, query: str = args.query) -> Any:
    """Return the nodes that a postprocessor returns, as `shown` does."""
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in args.documents]
    ranked = postprocessor.postprocess_nodes(nodes, query_str=query)
    return [shown(args.documents.index(one.text), one.score, one.text) for one in ranked]
