"""Questions of a BEIR folder with the passage that answers, or one that only seems to: pair rows.

    python questions.py FOLDER -o rows.jsonl [--split test] [--answerable 60] [--unanswerable 40]
    prism rerank rows.jsonl -o reranked.jsonl --model runs/tiny
    prism eval quality reranked.jsonl --gold FOLDER/answers.jsonl --gold FOLDER/impossible.jsonl

The last command gives the share of wrong yes, and of the answers that the evidence keeps.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from prism_cli.adapters.datasets.beir import BeirSet


def lines(path: Path) -> list[dict[str, Any]]:
    return list(map(orjson.loads, path.read_bytes().splitlines()))


def pairs(
    data: BeirSet, split: str, answerable: int, unanswerable: int, draw: random.Random
) -> Iterator[tuple[str, str, str]]:
    """Yield (query_id, query, doc_id) by lot: the answerable ones first."""
    texts = dict(data.queries())
    answered = {row["_id"] for row in lines(data.folder / "answers.jsonl")}
    relevant = {
        query: document
        for query, grades in data.qrels(split).items()
        for document, grade in grades.items()
        if grade > 0
    }
    for query in draw.sample(sorted(answered & relevant.keys()), answerable):
        yield query, texts[query], relevant[query]
    for row in draw.sample(lines(data.folder / "impossible.jsonl"), unanswerable):
        yield row["_id"], row["text"], row["paragraph"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--answerable", type=int, default=60)
    parser.add_argument("--unanswerable", type=int, default=40)
    parser.add_argument("--seed", type=int, default=22)
    options = parser.parse_args()
    data, draw = BeirSet(options.folder), random.Random(options.seed)
    documents = {doc_id: (title, text) for doc_id, title, text in data.passages()}
    names = ("query_id", "query", "doc_id", "title", "document")
    rows = [
        dict(zip(names, (*pair, *documents[pair[2]]), strict=True))
        for pair in pairs(data, options.split, options.answerable, options.unanswerable, draw)
    ]
    options.output.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


if __name__ == "__main__":
    main()
