"""Threshold sweep: tokens that an agent reads, and answers it misses, by threshold of the score.

Counts and sums by step of the grid; only queries with a gold answer are stored separately, at about
150 bytes each.
"""

from bisect import bisect_left
from hashlib import blake2b
from itertools import accumulate

from prism_cli.domain.scoring import BOUNDARY

THRESHOLDS = tuple(step / 100 for step in range(101))


class ThresholdSweep:
    """Counts rows by the thresholds that keep them (score > threshold): `add` each row, then
    `points` and `content`.

    An agent reads the evidence of a kept document, or the document if it has none. Below .5 the
    model writes no evidence, so documents kept between the threshold and .5 are read in full.
    """

    def __init__(self) -> None:
        steps = len(THRESHOLDS) + 1
        self._rows, self._yes, self._judged = [0] * steps, [0] * steps, [0] * steps
        self._read, self._documents = [0] * steps, [0] * steps
        self._answers: dict[bytes, tuple[int, int]] = {}

    def add(
        self,
        score: float,
        verdict: str | None,
        document_tokens: int,
        evidence_tokens: int | None,
        *,
        query_id: str = "",
        answer_read: bool | None = None,
        answer_in_document: bool | None = None,
    ) -> None:
        """Count one row.

        Args:
            score: in [0, 1].
            verdict: the label, "yes" or "no"; a row with None counts for documents and tokens, not
                for precision and recall.
            evidence_tokens: None where there is no evidence.
            query_id: only needed with a gold answer.
            answer_read: True if the evidence, or the document if there is none, has a gold answer
                of the query; None where the query has no gold answer.
            answer_in_document: True if the document has one; None where `answer_read` is None.
        """
        step = bisect_left(THRESHOLDS, score)  # number of thresholds below the score
        self._rows[step] += 1
        self._judged[step] += verdict is not None
        self._yes[step] += verdict == "yes"
        self._documents[step] += document_tokens
        self._read[step] += document_tokens if evidence_tokens is None else evidence_tokens
        if answer_read is not None:
            key = blake2b(query_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            read, full = self._answers.get(key, (0, 0))
            self._answers[key] = (
                max(read, step if answer_read else 0),
                max(full, step if answer_in_document else 0),
            )

    def points(self) -> list[dict[str, float | int | None]]:
        """Return one object per threshold, from 0 to 1; a share is None where its denominator is 0.

        threshold, kept (rows), kept_share (of all rows).
        precision, recall, f1: of "score > threshold" against verdict yes.
        tokens_read: tokens that the agent reads; tokens_kept: tokens of the kept documents.
        saved: 1 - tokens_read / tokens of all documents; saved_of_kept: 1 - tokens_read /
            tokens_kept, the savings by evidence alone.
        answer_kept: share of the queries with a gold answer for which a text that is read has one;
            answer_in_kept: the same if the kept documents were read in full.
        """
        rows, yes, judged = _above(self._rows), _above(self._yes), _above(self._judged)
        read, documents = _above(self._read), _above(self._documents)
        answers = [0] * (len(THRESHOLDS) + 1), [0] * (len(THRESHOLDS) + 1)
        for steps in self._answers.values():
            for counts, step in zip(answers, steps, strict=True):
                counts[step] += 1
        kept_answers, whole_answers = map(_above, answers)
        total, wanted, asked = sum(self._rows), sum(self._yes), len(self._answers)
        everything = sum(self._documents)
        return [
            {
                "threshold": threshold,
                "kept": rows[place],
                "kept_share": _share(rows[place], total),
                "precision": _share(yes[place], judged[place]),
                "recall": _share(yes[place], wanted),
                "f1": _share(2 * yes[place], judged[place] + wanted),
                "tokens_read": read[place],
                "tokens_kept": documents[place],
                "saved": _share(everything - read[place], everything),
                "saved_of_kept": _share(documents[place] - read[place], documents[place]),
                "answer_kept": _share(kept_answers[place], asked),
                "answer_in_kept": _share(whole_answers[place], asked),
            }
            for place, threshold in enumerate(THRESHOLDS)
        ]

    def content(self) -> dict[str, float | int | None]:
        """Return plain numbers: rows, rows with verdicts, queries with answers, tokens of all
        documents; the point at the verdict's threshold; and the threshold of the highest F1 among
        THRESHOLDS, the lowest of several (between two of them F1 may be higher). The threshold is
        chosen on these rows, so other rows have a lower F1."""
        points = self.points()
        at_verdict = points[THRESHOLDS.index(BOUNDARY)]
        best = max(points, key=lambda point: point["f1"] or 0)
        has_f1 = bool(best["f1"])
        return {
            "rows": sum(self._rows),
            "rows_with_verdict": sum(self._judged),
            "queries_with_answer": len(self._answers),
            "document_tokens": sum(self._documents),
            **at_verdict,
            "best_f1": best["f1"] if has_f1 else None,
            "best_f1_threshold": best["threshold"] if has_f1 else None,
        }


def _above(counts: list[int]) -> list[int]:
    """Return at each threshold the sum of the counts above it."""
    return list(accumulate(reversed(counts[1:])))[::-1]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
