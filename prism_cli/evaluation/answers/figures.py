"""Figures of answers in rows.jsonl, as metrics.json holds them."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prism_cli.domain.metrics import mean
from prism_cli.domain.query_sums import QuerySums
from prism_cli.domain.significance import (
    paired_comparison,
    permutation_p,
    ratio_interval,
    with_holm,
)
from prism_cli.evaluation.answers.contexts import CONTEXTS, DOCUMENTS, EVIDENCE, NOTHING
from prism_cli.evaluation.quality.stage import SHOWN_CHARACTERS

SHARES = ("f1", "exact_match", "contained", "no_answer_rate", "no_answer_accuracy")
MEANS = ("tokens_read", "tokens_written", "usd")
COUNTS = ("refused", "cut", "without_text")
KEPT = 10
"""Examples."""


class AnswersFigures:
    """Adds up the answers of queries: call `add` for each line, then `content`.

    F1, exact match, contained and no_answer_rate are means over the queries with an answer;
    no_answer_accuracy is the share of "no answer" over those that people call unanswerable.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._sums = QuerySums()
        self._f1: dict[str, array[float]] = {}
        self._read: dict[str, array[float]] = {}
        self._counts: Counter[str] = Counter()
        self._by_context: dict[str, Counter[str]] = {}
        self._lost: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Add one line of rows.jsonl."""
        answers = row["answers"]
        index = self._sums.index(answer_key(row))
        self._counts["all"] += 1
        self._counts["answerable" if answers["answerable"] else "unanswerable"] += 1
        self._counts["without_documents"] += not answers["documents"]
        for name, answer in answers["contexts"].items():
            counts = self._by_context.setdefault(name, Counter())
            counts["refused"] += "refusal" in answer
            counts["cut"] += answer.get("cut", False)
            counts["without_text"] += not answer.get("asked", True)
            if answers["answerable"]:
                self._f1.setdefault(name, array("d")).append(answer["f1"])
        for measure, total, count in answer_measures(row):
            self._sums.add(index, measure, total, count)
        self._note_read(answers)
        self._keep_lost(row)

    def content(self) -> dict[str, Any]:
        """Return answers, statistics, examples and queries of metrics.json."""
        means, names = self._sums.means(), [name for name in CONTEXTS if name in self._by_context]
        figures = {
            name: {measure: means.get(f"{name}.{measure}") for measure in (*SHARES, *MEANS)}
            | {count: self._by_context[name][count] for count in COUNTS}
            for name in names
        }
        shares = [f"{name}.{measure}" for name in names for measure in SHARES]
        present = [share for share in shares if share in means]
        return {
            "answers": figures,
            "statistics": {
                "intervals": {share: self._sums.interval(share, self._seed) for share in present},
                "counts": {share: self._sums.rows[share] for share in present},
                "tests": self._tests(names),
                "reader": self._reader_check(),
            },
            "examples": {"lost": self._lost},
            "queries": {
                name: self._counts[name]
                for name in ("all", "answerable", "unanswerable", "without_documents")
            },
        }

    def _tests(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return paired tests of F1: the evidence against each other context; without evidence,
        each context against nothing. Holm's correction is over all of them."""
        base = EVIDENCE if EVIDENCE in names else NOTHING
        if base not in self._f1:
            return []
        tests = []
        for other in names:
            if other == base:
                continue
            pair = (base, other) if base == EVIDENCE else (other, base)
            first, second = (self._f1[name] for name in pair)
            moves = [new - old for new, old in zip(first, second, strict=True)]
            interval = ratio_interval(moves, [1] * len(moves), seed=self._seed, share=False)
            tests.append(
                {"measure": "f1", "context": pair[0], "against": pair[1]}
                | paired_comparison(first, second, seed=self._seed)
                | {"interval": interval and list(interval)}
            )
        return with_holm(tests)

    def _note_read(self, answers: Mapping[str, Any]) -> None:
        """Note the F1 from documents and from nothing of a query whose documents were read."""
        contexts = answers["contexts"]
        if answers["answerable"] and contexts.get(DOCUMENTS, {"asked": False}).get("asked", True):
            for name in (DOCUMENTS, NOTHING):
                if name in contexts:
                    self._read.setdefault(name, array("d")).append(contexts[name]["f1"])

    def _reader_check(self) -> dict[str, Any] | None:
        """Return the F1 from the documents, and from nothing, over the queries with an answer whose
        documents were read, and the p of their difference; None without that context."""
        if DOCUMENTS not in self._f1:
            return None
        read = {name: self._read.get(name, array("d")) for name in (DOCUMENTS, NOTHING)}
        check: dict[str, Any] = {"queries": len(read[DOCUMENTS])}
        check |= {name: mean(values) for name, values in read.items() if values}
        if read[NOTHING]:
            check["p"] = permutation_p(read[DOCUMENTS], read[NOTHING], seed=self._seed)
        return check

    def _keep_lost(self, row: Mapping[str, Any]) -> None:
        """Keep the queries whose answer from the evidence is worst against that from the
        documents."""
        answers = row["answers"]
        contexts = answers["contexts"]
        if not answers["answerable"] or not {"documents", EVIDENCE} <= contexts.keys():
            return
        loss = contexts["documents"]["f1"] - contexts[EVIDENCE]["f1"]
        if loss <= 0:
            return
        self._lost.append(
            {
                "query_id": row["query_id"],
                "query": row["query"],
                "loss": loss,
                "gold": answers["gold"][:3],
                "replies": {
                    name: answer["reply"][:SHOWN_CHARACTERS] for name, answer in contexts.items()
                },
                "evidence": row.get("evidence", ""),
            }
        )
        self._lost.sort(key=lambda example: -example["loss"])
        del self._lost[KEPT:]


def answer_key(row: Mapping[str, Any]) -> str:
    """Return the key of the query of one line of rows.jsonl."""
    return f"{row['query_id']}\0{row['query']}"


def answer_measures(row: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Yield (name, sum, count) of each measure of one line of rows.jsonl."""
    answerable = row["answers"]["answerable"]
    for context, answer in row["answers"]["contexts"].items():
        for measure, value in _values(answer, answerable=answerable):
            yield f"{context}.{measure}", value, 1


def _values(answer: Mapping[str, Any], *, answerable: bool) -> Iterator[tuple[str, float]]:
    """Yield each measure that the answer has."""
    if answerable:
        for measure in ("f1", "exact_match", "contained"):
            yield measure, answer[measure]
    yield "no_answer_rate" if answerable else "no_answer_accuracy", answer["no_answer"]
    for measure in MEANS:
        if measure in answer:
            yield measure, answer[measure]
