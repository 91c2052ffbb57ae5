"""What `prism eval labels` shows people, on standard output."""

from collections.abc import Mapping
from typing import Any

from prism_cli.commands.tables import print_table
from prism_cli.reporting.visible import one_line

_NAME_CHARACTERS = 80


def print_labels(metrics: Mapping[str, Any]) -> None:
    """Judges, pairs, alpha, teacher and panel; a warning where agreement cannot be told."""
    labels, statistics = metrics["labels"], metrics["statistics"]
    intervals, counts, basis = (statistics[name] for name in ("intervals", "counts", "basis"))
    print(
        f"{labels['rows']:,} rows: {labels['yes']:,} yes, {labels['no']:,} no, "
        f"{labels['undecided']:,} undecided, {labels['unlabelled']:,} without verdict; "
        f"{labels['audit_rows']:,} audit rows"
    )
    if basis["warning"]:
        print(f"warning: {_name(basis['warning'], 2000)}")
    if statistics["judges"]:
        print_table(
            f"judges, on {basis['rows']:,} rows ({basis['kind']})",
            [
                {
                    "judge": _name(judge),
                    "votes": counts["yes_rate"][judge],
                    "yes": labels["yes_rate"][judge],
                    "95 %": _span(intervals["yes_rate"][judge]),
                    "yes of all votes": labels["yes_rate_all_votes"][judge],
                    "as most others": labels["with_majority"][judge],
                    "as the label": labels["with_source_label"][judge],
                }
                for judge in statistics["judges"]
            ],
        )
    if labels["kappa"]:
        print_table(
            "Cohen's kappa",
            [
                {
                    "pair": _name(pair, 2 * _NAME_CHARACTERS),
                    "rows": counts["kappa"][pair],
                    "same vote": labels["same_vote"][pair],
                    "kappa": kappa,
                    "95 %": _span(intervals["kappa"][pair]),
                    "in words": statistics["words"]["kappa"][pair],
                }
                for pair, kappa in labels["kappa"].items()
            ],
        )
    for name, title in (
        ("alpha", "Krippendorff's alpha"),
        ("disputed", "not unanimous"),
        ("teacher_agreement", "teacher as the panel"),
    ):
        if labels[name] is not None:
            words = f", {statistics['words'][name]}" if name in statistics["words"] else ""
            span = _span(intervals[name])
            print(f"{title}: {labels[name]:.3f} ({span}){words}, of {counts[name]:,} rows")
    if labels["teacher_auc"] is not None:
        print(f"AUC of the teacher against the verdict: {labels['teacher_auc']:.3f}")


def _name(text: str, characters: int = _NAME_CHARACTERS) -> str:
    """A judge's name comes from the rows: nothing hidden in it reaches the terminal."""
    return one_line(text, characters)


def _span(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
