"""Does the place of an answer in a long document matter? `--long-documents cut` against `window`.

    python tests/benchmarks/position.py [BEIR_DIR ...] [--model hf:prism-tiny] [--words 2000 8000]

The passage that answers a question stands at the start, in the middle and at the end of a document
of so many words; the rest are passages about other topics. Distractors are documents of the same
length without it. The default data is the bundled corpus: questions of its test part, passages of
both parts. Other folders need answers in gold.jsonl for the column `kept`.

Columns: mean score, mean rank among the distractors (1 is best), questions whose document comes
first, verdicts yes, answers that the evidence keeps, seconds of the document, windows.
"""

import argparse
import json
import platform
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from prism_cli import Reranker
from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.bundled import CORPUS
from prism_cli.domain.squad_tokens import TokenText

PLACES = {"start": 0.0, "middle": 0.5, "end": 1.0}


class Question(NamedTuple):
    """A question, the passage that answers it, its answers, and passages about other topics."""

    text: str
    passage: str
    answers: list[str]
    filler: list[str]


def main() -> None:
    """Print a table to standard error, and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", type=Path, help="BEIR folders; questions of the first")
    parser.add_argument("--model", default="hf:prism-tiny")
    parser.add_argument("--words", type=int, nargs="+", default=[2_000])
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--distractors", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=1_024)
    parser.add_argument("--window-tokens", type=int)
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    folders = options.data or [CORPUS / "test", CORPUS / "train"]
    questions = questions_of(folders, options.split, options.questions)
    cases = []
    for way in ("cut", "window"):
        reranker = Reranker(
            options.model,
            max_tokens=options.max_tokens,
            dtype=options.dtype,
            long_documents=way,
            window_tokens=options.window_tokens if way == "window" else None,
            warn=False,
        )
        for words in options.words:
            for number, question in enumerate(questions):
                cases += measured(reranker, way, words, number, question, options)
    table = summary(cases)
    names = list(table[0])
    print("  ".join(f"{name:>9}" for name in names), file=sys.stderr)
    for row in table:
        print("  ".join(f"{row[name]!s:>9}" for name in names), file=sys.stderr)
    machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    print(json.dumps({"machine": machine, **vars(options), "rows": table}, default=str))


def questions_of(folders: list[Path], split: str, count: int) -> list[Question]:
    """Return the first English questions with one whole answer, of different topics."""
    passages = {doc_id: text for folder in folders for doc_id, text in BeirSet(folder).texts()}
    data = BeirSet(folders[0])
    judged = data.qrels(split)
    gold_file = folders[0] / "gold.jsonl"
    lines = gold_file.read_text(encoding="utf-8").splitlines() if gold_file.is_file() else []
    answers = {row["query_id"]: row.get("answers") or [] for row in map(json.loads, lines)}
    questions: dict[str, Question] = {}
    for query_id, query in data.judged_queries(split, None):
        grades = judged[query_id]
        best = max(grades, key=lambda doc_id: grades[doc_id])
        topic = topic_of(best)
        if best not in passages or topic in questions or not query.isascii():
            continue
        filler = [
            text
            for doc_id, text in passages.items()
            if topic_of(doc_id) != topic and doc_id not in grades and mostly_ascii(text)
        ]
        questions[topic] = Question(query, passages[best], answers.get(query_id, []), filler)
        if len(questions) == count:
            break
    return list(questions.values())


def topic_of(doc_id: str) -> str:
    """Return the topic of a document of the bundled corpus: coffee of coffee-07."""
    return doc_id.rpartition("-")[0] or doc_id


def mostly_ascii(text: str) -> bool:
    """Return whether a passage is in a language like English."""
    return len(text.encode("ascii", "ignore")) > 0.95 * len(text)


def document(question: Question, words: int, place: float | None, seed: str) -> str:
    """Return a document of about `words` words; with the passage if there is a place for it."""
    chosen = random.Random(seed)
    size = 0 if place is None else len(question.passage.split())
    parts: list[str] = []
    while size < words:
        for text in chosen.sample(question.filler, len(question.filler)):
            parts.append(text)
            size += len(text.split())
            if size >= words:
                break
    if place is not None:
        parts.insert(round(place * len(parts)), question.passage)
    return "\n\n".join(parts)


def measured(
    reranker: Reranker, way: str, words: int, number: int, question: Question, options: Any
) -> list[dict[str, Any]]:
    """Return a row of figures for each place of the passage."""
    others = [
        document(question, words, None, f"{number} {words} {other}")
        for other in range(options.distractors)
    ]
    scores = reranker.score([(question.text, other) for other in others])
    rows = []
    for name, place in PLACES.items():
        text = document(question, words, place, f"{number} {words}")
        started = time.perf_counter()
        (result,) = reranker.rank(question.text, [text], max_new_tokens=options.max_new_tokens)
        seconds = time.perf_counter() - started
        score = result["relevance_score"]
        evidence = TokenText(result["evidence"] or "")
        rows.append(
            {
                "way": way,
                "words": words,
                "place": name,
                "score": score,
                "rank": 1 + sum(other >= score for other in scores),
                "yes": result["verdict"] == "yes",
                "kept": any(map(evidence.holds, question.answers)),
                "seconds": seconds,
                "windows": result.get("windows", 1),
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def summary(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the means by way, length and place."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault((case["way"], case["words"], case["place"]), []).append(case)
    return [
        {
            "way": way,
            "words": words,
            "place": place,
            "questions": len(group),
            "score": round(statistics.mean(case["score"] for case in group), 3),
            "rank": round(statistics.mean(case["rank"] for case in group), 2),
            "first": sum(case["rank"] == 1 for case in group),
            "yes": sum(case["yes"] for case in group),
            "kept": sum(case["kept"] for case in group),
            "seconds": round(statistics.mean(case["seconds"] for case in group), 2),
            "windows": round(statistics.mean(case["windows"] for case in group), 1),
        }
        for (way, words, place), group in groups.items()
    ]


if __name__ == "__main__":
    main()
