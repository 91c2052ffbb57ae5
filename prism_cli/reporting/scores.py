"""Sections of the quality report on calibration of the scores and on thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

from prism_cli.domain.scoring import BOUNDARY
from prism_cli.reporting.page import Line, Lines, Note, Part, Section, Table

_KINDS = {"equal_width": "bins of equal width", "equal_mass": "bins of equal count"}
_SHOWN_STEPS = 10
"""The table has every tenth threshold; metrics.json has all."""
_VERDICT = (BOUNDARY, "verdict")


def calibration_section(
    figures: Mapping[str, Any], curves: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Section:
    """Compare scores with the share of yes: a score of .8 should be yes in eight of ten rows."""
    title = "Calibration of the score"
    if not figures["rows"]:
        return Section(title, "No row has both a score and a verdict.", ())
    curve = Lines(
        "Reliability: share of yes by score",
        "mean score of the bin",
        "share of yes",
        tuple(
            Line(
                _KINDS[kind],
                tuple((point["mean_score"], point["yes_rate"]) for point in points),
                tuple(point["rows"] for point in points),
            )
            for kind, points in curves.items()
        ),
        diagonal=True,
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        mark=_VERDICT,
    )
    intervals = Table(
        ("from", "to", "rows", "share of yes", "95 % from", "95 % to"),
        tuple(
            tuple(point[name] for name in ("from", "to", "rows", "yes_rate", "low", "high"))
            for point in curves["equal_width"]
        ),
        "Intervals of the bins of equal width (Wilson)",
        3,
    )
    names = {
        "brier": "Brier score: mean of (score - verdict)²",
        "brier_reliability": "its reliability: distance from the diagonal",
        "brier_resolution": "minus resolution: separation by the scores",
        "brier_uncertainty": "plus uncertainty of the verdicts",
        "brier_within_bins": "plus differences of scores within a bin",
        "log_loss": "log loss",
        "ece": "ECE, 15 bins of equal width",
        "ece_equal_mass": "ECE, bins of equal count",
        "ece_by_chance": "ECE expected of calibrated scores on this many rows",
        "auc": "AUC: chance that a yes scores above a no, by the logit where rows have one",
        "mean_score": "mean score",
        "yes_rate": "share of yes",
    }
    if figures.get("auc_error"):
        names["auc_error"] = "largest error of AUC, as there are too many rows for exact ranks"
    table = Table(
        ("measure", "value"),
        tuple((words, figures[name]) for name, words in names.items()),
        f"{figures['rows']:,} rows with score and verdict",
    )
    beyond = figures["ece"] > 2 * figures["ece_by_chance"]
    words = (
        f"Over {figures['rows']:,} rows the score differs from the share of yes by "
        f"{figures['ece']:.3f} on average (ECE); calibrated scores would show about "
        f"{figures['ece_by_chance']:.3f} on this many rows, "
        + (
            "so the score is not a probability."
            if beyond
            else "so these rows show no clear miscalibration."
        )
    )
    return Section(title, words, (curve, intervals, table))


def threshold_section(figures: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> Section:
    """Show what is found, missed and read above each threshold."""
    title = "Thresholds: what an agent finds and reads"
    if not figures["rows"]:
        return Section(title, "No row has a score.", ())
    parts: list[Part] = []
    if figures["rows_with_verdict"]:
        chosen = {"precision": "precision", "recall": "recall", "f1": "F1", "kept_share": "kept"}
        parts.append(_lines("Precision, recall and share kept", "share", chosen, points))
    saved = {
        "saved": "of all documents",
        "saved_of_kept": "of the kept documents",
    }
    parts.append(_lines("Tokens that need not be read", "share of tokens", saved, points))
    if figures["queries_with_answer"]:
        answers = {
            "answer_kept": "in what is read",
            "answer_in_kept": "in the kept documents",
        }
        parts.append(_lines("Queries whose answer is there", "share of queries", answers, points))
    parts.append(
        Table(
            ("threshold", "rows kept", "tokens read", "tokens of the kept documents"),
            tuple(
                (point["threshold"], point["kept"], point["tokens_read"], point["tokens_kept"])
                for point in points[::_SHOWN_STEPS]
            ),
            f"Of {figures['rows']:,} rows, {figures['document_tokens']:,} tokens of documents",
            2,
        )
    )
    parts.append(
        Note(
            "The agent reads the evidence of a kept document, or the whole document if it has "
            "none. The model writes evidence only above .5, so documents between a lower threshold "
            "and .5 are read whole."
        )
    )
    return Section(title, _threshold_words(figures), tuple(parts))


def _threshold_words(figures: Mapping[str, Any]) -> str:
    words = (
        f"At the verdict's threshold of {figures['threshold']:g}, {figures['kept']:,} of "
        f"{figures['rows']:,} documents are kept"
    )
    if figures["saved"] is not None:
        words += f" and {figures['saved']:.1%} of all document tokens need not be read"
    words += "."
    if figures["answer_kept"] is not None:
        words += (
            f" The answer is kept for {figures['answer_kept']:.1%} of "
            f"{figures['queries_with_answer']:,} queries that have one."
        )
    if figures["best_f1"] is not None:
        words += (
            f" F1 against the verdicts is highest at {figures['best_f1_threshold']:g} "
            f"({figures['best_f1']:.3f}; {figures['f1'] or 0:.3f} at {figures['threshold']:g}); "
            "as it was chosen on these rows, expect less on others."
        )
    return words


def _lines(
    title: str, y: str, chosen: Mapping[str, str], points: Sequence[Mapping[str, Any]]
) -> Lines:
    return Lines(
        title,
        "threshold of the score",
        y,
        tuple(
            Line(
                words,
                tuple(
                    (point["threshold"], point[name]) for point in points if point[name] is not None
                ),
            )
            for name, words in chosen.items()
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        mark=_VERDICT,
    )
