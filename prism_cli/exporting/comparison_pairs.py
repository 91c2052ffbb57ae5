"""Pairs on which an exported model is compared with its source: queries, each with its own passage
and another query's."""

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.runtimes.canary import IRRELEVANT, RELEVANT
from prism_cli.bundled import CORPUS

_QUERIES = 16


def comparison_pairs() -> list[tuple[str, list[str]]]:
    """Return (query, two documents): the canary, then bundled test queries (their source is in
    samples/corpus/SOURCE.txt)."""
    data = BeirSet(CORPUS / "test")
    qrels = data.qrels("test")
    queries = list({text: key for key, text in data.queries() if key in qrels}.items())[:_QUERIES]
    own = [next(iter(qrels[key])) for _, key in queries]
    doc_ids = set(own)
    texts = {doc_id: text for doc_id, text in data.texts() if doc_id in doc_ids}
    pairs = [(RELEVANT[0], [RELEVANT[1], IRRELEVANT[1]])]
    for place, (query, _) in enumerate(queries):
        pairs.append((query, [texts[own[place]], texts[own[place - len(own) // 2]]]))
    return pairs
