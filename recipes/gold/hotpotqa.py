"""HotpotQA's answers and supporting facts as gold for `prism eval quality --gold`.

python hotpotqa.py hotpot_dev_distractor_v1.json > gold.jsonl
python hotpotqa.py hotpot_dev_distractor_v1.json beir/hotpotqa/corpus.jsonl > gold.jsonl

The second names documents as BEIR does; the first by their titles.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def gold_lines(question: dict[str, Any], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The answer, unless it is yes or no, and the supporting sentences of each document."""
    query_id = question["_id"]
    if question["answer"] not in ("yes", "no"):
        yield {"query_id": query_id, "answers": [question["answer"]]}
    sentences = dict(question["context"])
    supporting: dict[str, list[str]] = {}
    for title, number in question["supporting_facts"]:
        # Some facts of the published set point behind the last sentence.
        if sentence := sentences.get(title, [])[number : number + 1]:
            supporting.setdefault(title, []).extend(sentence)
    for title in sorted(supporting):
        yield {
            "query_id": query_id,
            "doc_id": names.get(title, title),
            "rationales": supporting[title],
        }


def main(path: str, corpus: str = "") -> None:
    """Print the gold lines of all questions."""
    questions = json.loads(Path(path).read_text("utf-8"))
    titles = {title for question in questions for title, _ in question["supporting_facts"]}
    names: dict[str, str] = {}
    if corpus:
        with open(corpus, encoding="utf-8") as documents:
            for row in map(json.loads, documents):
                if row["title"] in titles:
                    names[row["title"]] = row["_id"]
    for question in questions:
        for line in gold_lines(question, names):
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
