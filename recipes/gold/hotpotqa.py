"""HotpotQA's answers and supporting facts as gold for `prism eval quality --gold`.

python hotpotqa.py hotpot_dev_distractor_v1.json > gold.jsonl
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def gold_lines(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer, unless it is yes or no, and the supporting sentences of each document."""
    query_id = question["_id"]
    if question["answer"] not in ("yes", "no"):
        yield {"query_id": query_id, "answers": [question["answer"]]}
    sentences = dict(question["context"])
    supporting: dict[str, list[str]] = {}
    for title, number in question["supporting_facts"]:
        # Some facts of the published set point behind the last sentence.
        supporting.setdefault(title, []).extend(sentences.get(title, [])[number : number + 1])
    for title in sorted(supporting):
        yield {"query_id": query_id, "doc_id": title, "rationales": supporting[title]}


def main(path: str) -> None:
    """Print the gold lines of all questions."""
    for question in json.loads(Path(path).read_text("utf-8")):
        for line in gold_lines(question):
            print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
