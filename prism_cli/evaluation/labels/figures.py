"""Figures of labelled rows, in memory that does not grow with their number."""

from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from prism_cli.domain.agreement import effective_counts
from prism_cli.domain.grades import ImplausibleGradeError
from prism_cli.domain.score_figures import ScoreFigures, score_bin
from prism_cli.domain.scoring import answer_of
from prism_cli.domain.significance import exact_interval, wilson_interval
from prism_cli.domain.voting import label_vote
from prism_cli.errors import RowError
from prism_cli.evaluation.labels.panel import PanelVotes
from prism_cli.evaluation.labels.top_disagreements import TopDisagreements
from prism_cli.rows.contract import check_kinds
from prism_cli.rows.row import (
    Row,
    asked_votes,
    check_pair,
    doc_id,
    document_text,
    json_type,
    number_field,
    query_id,
    string_field,
)

BUCKETS = 10
MOST_JUDGES, MOST_SOURCES = 64, 200
OTHER_SOURCES = "(other sources)"
SHOWN_ROWS = 10
"""Rows whose texts the report shows, for each verdict."""
QUERY_CHARACTERS, DOCUMENT_CHARACTERS = 500, 1500
_VERDICTS = ("yes", "no", "undecided")


class LabelFigures:
    """Counts rows: call `check` and `add` for each, then `content`.

    Args:
        review: number of rows with the largest disagreement to keep in `review`.
    """

    def __init__(self, seed: int, review: int) -> None:
        self._seed = seed
        self._panel = PanelVotes()
        self._judges: set[str] = set()
        self._teachers_on_panel: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._early: Counter[tuple[float | None, tuple[bool, int]]] = Counter()
        self._scores = ScoreFigures()
        self._buckets = {verdict: [0] * BUCKETS for verdict in _VERDICTS}
        self._sources: dict[str, Counter[str]] = {}
        self._labels: Counter[tuple[str, str]] = Counter()
        self.review = TopDisagreements(review)
        self._shown = {"yes": TopDisagreements(SHOWN_ROWS), "no": TopDisagreements(SHOWN_ROWS)}

    def check(self, row: Row) -> None:
        """Check a pair row and the form of the labels that it has.

        Raises:
            RowError: names the field, such as `votes.source`.
        """
        check_pair(row)
        number_field(row, "teacher_score", 0, 1)
        string_field(row, "source", required=False)
        if row.get("verdict") not in ("yes", "no", None):
            actual = json_type(row["verdict"])
            raise RowError("verdict", f'expected "yes", "no" or null, found {actual}')
        if not isinstance(row.get("audit"), bool | None):
            raise RowError("audit", f"expected true or false, found {json_type(row['audit'])}")
        number_field(row, "audit_share", 0, 1)
        check_kinds(row, ("early_verdict", "early_votes_cast"))
        _source_vote(row)
        new = asked_votes(row).keys() - self._judges
        if len(self._judges) + len(new) > MOST_JUDGES:
            raise RowError("votes", f"more than {MOST_JUDGES} judges in all rows together")
        self._judges |= new

    def add(self, row: Row) -> None:
        """Count one row."""
        votes, score, verdict = asked_votes(row), row.get("teacher_score"), row.get("verdict")
        label = _source_vote(row)
        judged = row.get("votes") is not None
        audit = judged and row.get("audit") is True
        cast = sum(vote is not None for vote in votes.values())
        if cast or audit:
            share = row.get("audit_share") or None
            self._panel.add(votes, audit, label, share)
            self._counts["votes"] += cast > 0
            self._counts["audit"] += audit
            self._counts["cast"] += cast
            if audit and "early_verdict" in row:
                early = row["early_verdict"] != verdict, row.get("early_votes_cast") or 0
                self._early[share, early] += 1
        outcome = verdict or ("undecided" if judged else "unlabelled")
        self._counts[outcome] += 1
        source = self._source(row.get("source") or "")
        source["rows"] += 1
        source[outcome] += 1
        if verdict and label:
            self._labels[verdict, label] += 1
            source["labelled"] += 1
            source["label agreed"] += verdict == label
        if score is None:
            return
        self._counts["scores"] += 1
        if outcome in self._buckets:
            self._buckets[outcome][score_bin(score, BUCKETS)] += 1
            self._scores.add(score, verdict, _order(row, score))
        teachers = row.get("teacher_scores")
        if isinstance(teachers, dict):
            self._teachers_on_panel |= votes.keys() & teachers.keys()
        if verdict:
            self._compare(row, score, verdict, source)

    def content(self) -> dict[str, Any]:
        """Return labels, statistics and examples of metrics.json."""
        panel, statistics = self._panel.figures(self._seed, self._labels)
        rows = self._counts["yes"] + self._counts["no"]
        scores = self._scores.row()
        judged = sum(source["scored"] for source in self._sources.values())
        agreed = sum(source["agreed"] for source in self._sources.values())
        intervals, counts = statistics["intervals"], statistics["counts"]
        intervals["verdict_yes_rate"] = _interval(self._counts["yes"], rows)
        intervals["teacher_agreement"] = _interval(agreed, judged)
        counts["verdict_yes_rate"], counts["teacher_agreement"] = rows, judged
        by_kind = effective_counts(self._early)
        early = sum(by_kind.values())
        changed = sum(count for (moved, _), count in by_kind.items() if moved)
        early_cast = sum(count * votes for (_, votes), count in by_kind.items())
        intervals["changed_verdicts"] = list(exact_interval(changed, early)) if early else None
        counts["changed_verdicts"] = round(early)
        labels = {
            "rows": sum(source["rows"] for source in self._sources.values()),
            "rows_with_votes": self._counts["votes"],
            "rows_with_verdict": rows,
            "rows_with_score": self._counts["scores"],
            "audit_rows": self._counts["audit"],
            "yes": self._counts["yes"],
            "no": self._counts["no"],
            "undecided": self._counts["undecided"],
            "unlabelled": self._counts["unlabelled"],
            "verdict_yes_rate": _share(self._counts["yes"], rows),
            **panel,
            "votes_per_row": _share(self._counts["cast"], self._counts["votes"]),
            "changed_verdicts": _share(changed, early),
            "early_votes_per_row": _share(early_cast, early),
            "teacher_agreement": _share(agreed, judged),
            "teacher_auc": scores.get("AUC"),
            "teacher_auc_error": scores.get("AUC error", 0.0),
            "teacher_disagrees": judged - agreed,
        }
        names = [f"{place / BUCKETS:.1f}-{(place + 1) / BUCKETS:.1f}" for place in range(BUCKETS)]
        statistics["score_by_verdict"] = {"buckets": names, **self._buckets}
        statistics["teachers_on_the_panel"] = sorted(self._teachers_on_panel)
        statistics["sources"] = [
            _source_figures(name, counts) for name, counts in sorted(self._sources.items())
        ]
        examples = {
            f"panel_{verdict}": [_excerpt(row, disagreement) for disagreement, row in shown.rows()]
            for verdict, shown in self._shown.items()
        }
        return {"labels": labels, "statistics": statistics, "examples": examples}

    def _compare(self, row: Row, score: float, verdict: str, source: Counter[str]) -> None:
        """Compare the teacher's score with the panel's verdict."""
        agrees = answer_of(score) == verdict
        source["scored"] += 1
        source["agreed"] += agrees
        if not agrees:
            disagreement = abs(score - (verdict == "yes"))
            self.review.add(row, disagreement)
            self._shown[verdict].add(row, disagreement)

    def _source(self, name: str) -> Counter[str]:
        if name not in self._sources and len(self._sources) >= MOST_SOURCES:
            name = OTHER_SOURCES
        return self._sources.setdefault(name, Counter())


def _order(row: Row, score: float) -> float:
    """Return the value that AUC ranks by. teacher_score is rounded; rows rounded to 0 or 1 are
    ordered by the mean of their teachers, below or above all others."""
    if 0 < score < 1:
        return score
    by_teacher = row.get("teacher_scores")
    values = by_teacher.values() if isinstance(by_teacher, dict) else ()
    numbers = [value for value in values if isinstance(value, int | float) and 0 <= value <= 1] or [
        score
    ]
    return 2 * score - 1 + fmean(numbers)


def _source_vote(row: Row) -> str | None:
    """Return the vote of the corpus's own label; None without a label, or if it is not a grade.

    Raises:
        RowError: the label is a number that is implausible as a grade.
    """
    try:
        return label_vote(row.get("source_label"))
    except ImplausibleGradeError as error:
        actual = json_type(row["source_label"])
        raise RowError("source_label", f"{error}, found {actual}") from None
    except ValueError:
        return None


def _source_figures(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    judged = counts["yes"] + counts["no"]
    return {
        "source": name,
        **{key: counts[key] for key in ("rows", *_VERDICTS, "unlabelled")},
        "yes_rate": _share(counts["yes"], judged),
        "yes_interval": _interval(counts["yes"], judged),
        "teacher_rows": counts["scored"],
        "teacher_agreement": _share(counts["agreed"], counts["scored"]),
        "teacher_interval": _interval(counts["agreed"], counts["scored"]),
        "label_rows": counts["labelled"],
        "label_agreement": _share(counts["label agreed"], counts["labelled"]),
    }


def _excerpt(row: Row, disagreement: float) -> dict[str, Any]:
    return {
        "query_id": query_id(row),
        "doc_id": doc_id(row),
        "source": row.get("source") or "",
        "query": _cut(row["query"], QUERY_CHARACTERS),
        "document": _cut(document_text(row), DOCUMENT_CHARACTERS),
        "teacher_score": row["teacher_score"],
        "verdict": row["verdict"],
        "votes": row.get("votes") or {},
        "source_label": row.get("source_label"),
        "disagreement": disagreement,
    }


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters] + " …"


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _interval(part: int, whole: int) -> list[float] | None:
    return list(wilson_interval(part, whole)) if whole else None
