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


def lines(path: Path) -> list[dict[str, Any]]:
    return list(map(orjson.loads, path.read_bytes().splitlines()))


def pairs(
    folder: Path, split: str, answerable: int, unanswerable: int, draw: random.Random
) -> Iterator[tuple[str, str, str]]:
    """Yield (query_id, query, doc_id) by lot: the answerable ones first."""
    texts = {row["_id"]: row["text"] for row in lines(folder / "queries.jsonl")}
    answered = {row["_id"] for row in lines(folder / "answers.jsonl")}
    relevant: dict[str, str] = {}
    for line in (folder / f"qrels/{split}.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant[query] = document
    for query in draw.sample(sorted(answered & relevant.keys()), answerable):
        yield query, texts[query], relevant[query]
    for row in draw.sample(lines(folder / "impossible.jsonl"), unanswerable):
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
    documents = {row["_id"]: row for row in lines(options.folder / "corpus.jsonl")}
    drawn = pairs(
        options.folder,
        options.split,
        options.answerable,
        options.unanswerable,
        random.Random(options.seed),
    )
    rows = [
        {
            "query_id": query_id,
            "query": query,
            "doc_id": doc_id,
            "title": documents[doc_id].get("title", ""),
            "document": documents[doc_id]["text"],
        }
        for query_id, query, doc_id in drawn
    ]
    options.output.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


if __name__ == "__main__":
    main()
