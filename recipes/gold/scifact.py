"""SciFact's marked sentences as gold for `prism eval quality --gold`.

python scifact.py corpus.jsonl claims_dev.jsonl > gold.jsonl
"""

import json
import sys
from collections.abc import Iterator
from typing import Any


def read_jsonl(path: str) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    with open(path, encoding="utf-8") as lines:
        return list(map(json.loads, lines))


def gold_lines(claim: dict[str, Any], abstracts: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """A line per document with evidence, or per cited document of a claim without any."""
    query_id = str(claim["id"])
    if not claim["evidence"]:
        for doc_id in map(str, claim["cited_doc_ids"]):
            yield {"query_id": query_id, "doc_id": doc_id, "answerable": False}
    for doc_id, marks in claim["evidence"].items():
        numbers = [number for mark in marks for number in mark["sentences"]]
        sentences = [abstracts[doc_id][number] for number in numbers]
        yield {"query_id": query_id, "doc_id": doc_id, "rationales": sentences}


def main(corpus: str, claims: str) -> None:
    """Print the gold lines of all claims."""
    abstracts = {str(document["doc_id"]): document["abstract"] for document in read_jsonl(corpus)}
    for claim in read_jsonl(claims):
        for line in gold_lines(claim, abstracts):
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
