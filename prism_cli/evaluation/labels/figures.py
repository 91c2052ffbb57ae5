"""What many labelled rows come to, in memory that does not grow with them."""

from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from prism_cli.domain.grades import ImplausibleGradeError
from prism_cli.domain.score_figures import BOUNDARY, ScoreFigures
from prism_cli.domain.significance import wilson_interval
from prism_cli.domain.voting import label_vote
from prism_cli.errors import RowError
from prism_cli.evaluation.labels.panel import PanelVotes
from prism_cli.evaluation.labels.top_disagreements import TopDisagreements
from prism_cli.rows.row import (
    Row,
    check_pair,
    doc_id,
    document_text,
    json_type,
    number_field,
    query_id,
    string_field,
    votes_field,
)

BUCKETS = 10
MOST_JUDGES, MOST_SOURCES = 64, 200
OTHER_SOURCES = "(other sources)"
SHOWN_ROWS = 10
"""Rows with their texts in the report, each way."""
QUERY_CHARACTERS, DOCUMENT_CHARACTERS = 500, 1500
_VERDICTS = ("yes", "no", "undecided")


class LabelFigures:
    """Counts rows: `check` and `add` each, then `content`.

    Args:
        review: how many rows of the largest disagreement are held for `review`.
    """

    def __init__(self, seed: int, review: int) -> None:
        self._seed = seed
        self._panel = PanelVotes()
        self._judges: set[str] = set()
        self._own: set[str] = set()  # judges that are teachers too
        self._counts: Counter[str] = Counter()
        self._scores = ScoreFigures()
        self._buckets = {verdict: [0] * BUCKETS for verdict in _VERDICTS}
        self._sources: dict[str, Counter[str]] = {}
        self._labels: Counter[tuple[str, str]] = Counter()
        self.review = TopDisagreements(review)
        self._shown = {"yes": TopDisagreements(SHOWN_ROWS), "no": TopDisagreements(SHOWN_ROWS)}

    def check(self, row: Row) -> None:
        """A pair row whose labels, as far as it has them, are of the right form.

        Raises:
            RowError: names the field, such as `votes.source`.
        """
        check_pair(row)
        number_field(row, "teacher_score", 0, 1)
        string_field(row, "source", required=False)
        if row.get("verdict") not in ("yes", "no", None):
            found = json_type(row["verdict"])
            raise RowError("verdict", f'expected "yes", "no" or null, found {found}')
        if not isinstance(row.get("audit"), bool | None):
            raise RowError("audit", f"expected true or false, found {json_type(row['audit'])}")
        _own_vote(row)
        new = votes_field(row).keys() - self._judges
        if len(self._judges) + len(new) > MOST_JUDGES:
            raise RowError("votes", f"more than {MOST_JUDGES} judges in all rows together")
        self._judges |= new

    def add(self, row: Row) -> None:
        """Count one row."""
        votes, score, verdict = row.get("votes") or {}, row.get("teacher_score"), row.get("verdict")
        label = _own_vote(row)
        audit = row.get("audit") is True
        cast = {vote for vote in votes.values() if vote}
        if cast:
            self._panel.add(votes, audit, label)
            self._counts["votes"] += 1
            self._counts["audit"] += audit
        judged = row.get("votes") is not None
        told = verdict or ("undecided" if judged else "unlabelled")
        self._counts[told] += 1
        source = self._source(row.get("source") or "")
        source["rows"] += 1
        source[told] += 1
        if verdict and label:
            self._labels[verdict, label] += 1
            source["labelled"] += 1
            source["as the label"] += verdict == label
        if score is None:
            return
        self._counts["scores"] += 1
        if told in self._buckets:
            self._buckets[told][min(int(score * BUCKETS + 1e-9), BUCKETS - 1)] += 1
            self._scores.add(score, verdict, _order(row, score))
        teachers = row.get("teacher_scores")
        if isinstance(teachers, dict):
            self._own |= votes.keys() & teachers.keys()
        if verdict:
            self._compare(row, score, verdict, source)

    def content(self) -> dict[str, Any]:
        """labels, statistics and examples of metrics.json."""
        panel, statistics = self._panel.figures(self._seed, self._labels)
        rows = self._counts["yes"] + self._counts["no"]
        scores = self._scores.row()
        judged = sum(source["scored"] for source in self._sources.values())
        agreed = sum(source["agreed"] for source in self._sources.values())
        intervals, counts = statistics["intervals"], statistics["counts"]
        intervals["verdict_yes_rate"] = _interval(self._counts["yes"], rows)
        intervals["teacher_agreement"] = _interval(agreed, judged)
        counts["verdict_yes_rate"], counts["teacher_agreement"] = rows, judged
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
            "teacher_agreement": _share(agreed, judged),
            "teacher_auc": scores.get("AUC"),
            "teacher_auc_error": scores.get("AUC error", 0.0),
            "teacher_disagrees": judged - agreed,
        }
        names = [f"{place / BUCKETS:.1f}-{(place + 1) / BUCKETS:.1f}" for place in range(BUCKETS)]
        statistics["score_by_verdict"] = {"buckets": names, **self._buckets}
        statistics["teachers_on_the_panel"] = sorted(self._own)
        statistics["sources"] = [
            _source_figures(name, counts) for name, counts in sorted(self._sources.items())
        ]
        examples = {
            f"panel_{verdict}": [_excerpt(row, off) for off, row in shown.rows()]
            for verdict, shown in self._shown.items()
        }
        return {"labels": labels, "statistics": statistics, "examples": examples}

    def _compare(self, row: Row, score: float, verdict: str, source: Counter[str]) -> None:
        """The teacher's score with the panel's verdict."""
        agrees = (score > BOUNDARY) == (verdict == "yes")
        source["scored"] += 1
        source["agreed"] += agrees
        if not agrees:
            off = abs(score - (verdict == "yes"))
            self.review.add(row, off)
            self._shown[verdict].add(row, off)

    def _source(self, name: str) -> Counter[str]:
        if name not in self._sources and len(self._sources) >= MOST_SOURCES:
            name = OTHER_SOURCES
        return self._sources.setdefault(name, Counter())


def _order(row: Row, score: float) -> float:
    """What AUC goes by: teacher_score is rounded, and where that made it 0 or 1, rows stand in the
    order of their teachers' mean, below or above all others."""
    if 0 < score < 1:
        return score
    given = row.get("teacher_scores")
    own = given.values() if isinstance(given, dict) else ()
    numbers = [one for one in own if isinstance(one, int | float)] or [score]
    return 2 * score - 1 + fmean(numbers)


def _own_vote(row: Row) -> str | None:
    """What the corpus's own label says; None without one, or where it is no grade.

    Raises:
        RowError: a number that nobody gives as a grade.
    """
    try:
        return label_vote(row.get("source_label"))
    except ImplausibleGradeError as error:
        found = json_type(row["source_label"])
        raise RowError("source_label", f"{error}, found {found}") from None
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
        "label_agreement": _share(counts["as the label"], counts["labelled"]),
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


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _interval(part: int, whole: int) -> list[float] | None:
    return list(wilson_interval(part, whole)) if whole else None
