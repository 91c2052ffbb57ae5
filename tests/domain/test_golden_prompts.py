"""All profiles over odd pairs, byte for byte, against a plain renderer of the published templates.

tests/data/prompts/pairs.json holds [query, document] pairs, NAME.N.txt the prompt of pair N.
"""

import json
from pathlib import Path

import pytest

from prism_cli.domain.prompting import PROFILES

GOLDEN = Path(__file__).parent.parent / "data" / "prompts"
PAIRS = json.loads((GOLDEN / "pairs.json").read_text(encoding="utf-8"))


def by_hand(name: str, query: str, document: str) -> bytes:
    """Render without prism's code: bytes in the order of the paper's script."""
    out = b"<|im_start|>system\n"
    out += b"Judge whether the Document meets the requirements based on the Query and the Instruct "
    out += b"provided. "
    if name == "qwen3-reranker":
        out += b'Note that the answer can only be "yes" or "no".'
    out += b"<|im_end|>\n<|im_start|>user\n"
    if name == "qwen3-reranker":
        out += b"<Instruct>: Given a web search query, retrieve relevant passages that answer the "
        out += b"query\n"
    else:
        out += b"<Instruct>: Given a query and a document, judge whether the document is relevant "
        out += b'to the query. Answer "yes" or "no", then provide in XML:\n'
        out += b"1. <contribution>: what the document contributes to the query.\n"
        out += b"2. <evidence>: a self-contained rewrite of relevant content.\n"
    out += b"<Query>: " + query.encode() + b"\n<Document>: " + document.encode()
    out += b"<|im_end|>\n<|im_start|>assistant\n"
    return out if name == "prism-no-think" else out + b"<think>\n\n</think>\n\n"


@pytest.mark.parametrize("name", PROFILES)
def test_prompts_of_odd_pairs_equal_the_golden_files(name: str) -> None:
    assert len(PAIRS) >= 6
    for number, (query, document) in enumerate(PAIRS):
        golden = (GOLDEN / f"{name}.{number}.txt").read_bytes()
        assert golden == by_hand(name, query, document)
        assert PROFILES[name].prompt(query, document).encode() == golden
