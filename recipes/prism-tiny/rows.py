"""Pair rows from BEIR folders of several domains, with passages cut to a few sentences.

    python rows.py FOLDER=QUERIES ... -o pairs.jsonl [--claims FOLDER=QUERIES ...]
      [--doubles FOLDER=QUERIES ...] [--unanswerable FOLDER=QUERIES ...]

Of each folder, so many queries by lot, each with one relevant passage and `--negatives` others from
BM25's first candidates: of the same `group` where the passages name one, else of the whole corpus.
A passage is cut to the sentences that share most words with the query, or to those around the
answer or the sentence that people marked (answers.jsonl, rationales.jsonl).

Contribution and evidence that people wrote are taken over (gold.jsonl).

`--claims` makes queries of statements: a sentence that is taken out of a passage asks for the rest.
`--doubles` joins two questions of different passages, either of which is relevant. `--unanswerable`
takes questions that their passage seems to answer and does not (impossible.jsonl, gold.jsonl).
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.adapters.first_stages.word_tokens import WordTokens
from prism_cli.domain.sentences import sentences

CLAIM_WORDS = range(9, 29)
KINDS = ("questions", "claims", "doubles", "unanswerable")
TEXTS = ("contribution", "evidence")
TOKENS = WordTokens()


@dataclass(frozen=True)
class Question:
    """A query and what is known of it.

    Attributes:
        relevant: ids of the passages that are not negatives.
        positives: those to choose from.
        marked: texts that people marked in them.
        claim: the query is a sentence of its passage.
        texts: contribution and evidence that people wrote.
        answerable: false if `positives` holds a passage that only seems to answer.
    """

    id: str
    text: str
    relevant: frozenset[str]
    positives: Sequence[str]
    marked: Sequence[str] = ()
    group: str | None = None
    claim: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    answerable: bool = True


@dataclass
class Folder:
    """A BEIR folder in memory."""

    path: Path
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    qrels: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    groups: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for row in self.rows("corpus.jsonl"):
            self.documents[row["_id"]] = row
            if "group" in row:
                self.groups[row["group"]].append(row["_id"])
        for line in (self.path / "qrels/train.tsv").read_text("utf-8").splitlines()[1:]:
            query, document, grade = line.split("\t")
            if int(grade) > 0:
                self.qrels[query][document] = int(grade)

    @property
    def name(self) -> str:
        """The folder's name; with the one above it for a language or part, such as xquad10-de."""
        part = len(self.path.name) == 2 or self.path.name == "train"
        return "-".join(self.path.parts[-2:]) if part else self.path.name

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of a file of the folder; none if there is no such file."""
        if (self.path / name).is_file():
            yield from map(orjson.loads, (self.path / name).read_bytes().splitlines())

    def whole(self, document: str) -> str:
        """Return title and text of a passage."""
        row = self.documents[document]
        return f"{row.get('title', '')} {row['text']}".strip()

    def questions(self, count: int, draw: random.Random) -> list[Question]:
        """Return `count` queries by lot."""
        marked: dict[str, list[str]] = defaultdict(list)
        for name in ("rationales", "answers"):
            for row in self.rows(f"{name}.jsonl"):
                marked[row["_id"]] += row[name]
        texts: dict[str, dict[str, str]] = {}
        for row in self.rows("gold.jsonl"):
            if "contribution" in row:
                texts[row["query_id"]] = {name: row[name] for name in TEXTS}
                marked[row["query_id"]] += row["rationales"]
        queries = {row["_id"]: row for row in self.rows("queries.jsonl")}
        return [
            Question(
                query,
                queries[query]["text"],
                frozenset(grades := self.qrels[query]),
                sorted(doc for doc in grades if grades[doc] == max(grades.values())),
                marked[query],
                queries[query].get("group"),
                texts=texts.get(query, {}),
            )
            for query in draw.sample(sorted(queries.keys() & self.qrels.keys()), count)
        ]

    def claims(self, count: int, draw: random.Random) -> list[Question]:
        """Return `count` sentences of relevant passages, but not their first ones, by lot."""
        relevant = sorted({doc for grades in self.qrels.values() for doc in grades})
        found: list[Question] = []
        for doc in draw.sample(relevant, len(relevant)):
            parts = sentences(self.documents[doc]["text"])
            fit = [
                part
                for part in parts[1:]
                if len(part.split()) in CLAIM_WORDS and part[0].isupper() and part[-1] == "."
            ]
            if len(parts) > 3 and fit and len(found) < count:
                text = draw.choice(fit)
                found.append(Question(f"claim-{doc}", text, frozenset([doc]), [doc], claim=True))
        return found

    def doubles(self, count: int, draw: random.Random) -> list[Question]:
        """Return `count` pairs of questions, joined into one query."""
        single = self.questions(2 * count, draw)
        return [
            Question(
                f"{one.id}+{two.id}",
                f"{one.text.rstrip(' ?？.')}, and {two.text[0].lower()}{two.text[1:]}",
                one.relevant | two.relevant,
                [one.positives[0], two.positives[0]],
                [*one.marked, *two.marked],
            )
            for one, two in zip(single[::2], single[1::2], strict=True)
        ]

    def unanswerable(self, count: int, draw: random.Random) -> list[Question]:
        """Return `count` questions that their passage seems to answer, by lot."""
        found = [
            (row["_id"], row["text"], row["paragraph"]) for row in self.rows("impossible.jsonl")
        ]
        texts = {row["_id"]: row["text"] for row in self.rows("queries.jsonl")}
        found += [
            (row["query_id"], texts[row["query_id"]], row["doc_id"])
            for row in self.rows("gold.jsonl")
            if not row["answerable"]
        ]
        return [
            Question(query, text, frozenset([doc]), [doc], answerable=False)
            for query, text, doc in draw.sample(found, count)
        ]

    def negatives(self, asked: Sequence[Question], depth: int) -> dict[str, list[str]]:
        """Return BM25's first `depth` passages that are not relevant, by query id."""
        by_group: dict[str | None, list[Question]] = defaultdict(list)
        for question in asked:
            has_group = len(self.groups.get(question.group or "", ())) > depth // 2
            by_group[question.group if has_group else None].append(question)
        found: dict[str, list[str]] = {}
        for group, questions in by_group.items():
            members = self.documents if group is None else self.groups[group]
            stage = Bm25FirstStage(lambda docs=members: ((doc, self.whole(doc)) for doc in docs))
            hits = stage.search([(q.id, q.text) for q in questions], 2 * depth)
            for question, ranked in zip(questions, hits, strict=True):
                others = [doc for doc, _ in ranked if doc not in question.relevant]
                found[question.id] = others[:depth]
        return found


def cut(text: str, query: str, marked: Sequence[str], limit: float) -> str:
    """Return adjacent sentences within `limit` words: around a mark, or those that fit best."""
    parts, joiner = sentences(text), " " if _is_spaced(text) else ""
    if _words(text) <= limit or len(parts) < 2:
        return text
    asked = set(TOKENS(query))
    worth = [
        len(asked & set(TOKENS(part))) + 100 * any(mark in part or part in mark for mark in marked)
        for part in parts
    ]
    first = last = max(range(len(parts)), key=worth.__getitem__)
    while True:  # grow to the side that is worth more
        sides = [i for i in (first - 1, last + 1) if 0 <= i < len(parts)]
        for side in sorted(sides, key=lambda i: -worth[i]):
            low, high = min(first, side), max(last, side)
            if _words(joiner.join(parts[low : high + 1])) <= limit:
                first, last = low, high
                break
        else:
            return joiner.join(parts[first : last + 1])


def _is_spaced(text: str) -> bool:
    return text.count(" ") * 12 > len(text)


def _words(text: str) -> float:
    """Return the number of words; without spaces, two characters count as one."""
    return len(text.split()) if _is_spaced(text) else len(text) / 2


def pairs(
    folder: Folder, asked: Sequence[Question], draw: random.Random, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `asked`: one positive, then the negatives; half of these BM25's best."""
    others = folder.negatives([one for one in asked if one.answerable], options.to_rank)
    for question in asked:
        limit = options.words if draw.random() < options.short_share else options.long_words
        found, best = others.get(question.id, []), options.negatives // 2
        rest = draw.sample(found[best:], min(len(found[best:]), options.negatives - best))
        positive = draw.choice(question.positives)
        for document in [positive, *found[:best], *rest]:
            row, is_positive = folder.documents[document], document == positive
            text = row["text"].replace(question.text, "") if question.claim else row["text"]
            yield {
                "query_id": f"{folder.name}-{question.id}",
                "query": question.text,
                "doc_id": document,
                "title": " ".join(row.get("title", "").split()[:16]),
                "document": cut(text, question.text, question.marked if is_positive else (), limit),
                "source": folder.name,
                "split": "train",
                "source_label": str(int(is_positive and question.answerable)),
                **(question.texts if is_positive else {}),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="FOLDER=QUERIES")
    for kind in KINDS[1:]:
        parser.add_argument(f"--{kind}", nargs="*", default=[], metavar="FOLDER=QUERIES")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--negatives", type=int, default=3, help="Of each query. Default: 3.")
    parser.add_argument("--to-rank", type=int, default=20, help="BM25's last. Default: 20.")
    parser.add_argument("--words", type=float, default=80, help="Of a passage. Default: 80.")
    parser.add_argument("--long-words", type=float, default=200, help="Of others. Default: 200.")
    parser.add_argument("--short-share", type=float, default=0.6, help="Of queries. Default: .6.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with open(options.output, "wb") as file:
        for kind in KINDS:
            for argument in getattr(options, kind):
                path, _, count = argument.rpartition("=")
                folder = Folder(Path(path))
                draw = random.Random(f"{options.seed} {kind} {folder.name}")
                asked = getattr(folder, kind)(int(count), draw)
                for row in pairs(folder, asked, draw, options):
                    file.write(orjson.dumps(row) + b"\n")


if __name__ == "__main__":
    main()
