"""Terminal output of `prism eval labels`."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from prism_cli.commands.tables import print_table
from prism_cli.reporting.labels import short_names
from prism_cli.reporting.sanitize import one_line
from prism_cli.wording import counted

_NAME_CHARACTERS = 80


def print_labels(metrics: Mapping[str, Any]) -> None:
    """Judges, pairs, alpha, teacher and panel; a warning where agreement is undefined."""
    labels, statistics = metrics["labels"], metrics["statistics"]
    intervals, counts, basis = (statistics[name] for name in ("intervals", "counts", "basis"))
    names = short_names(statistics["judges"])
    print(
        f"{counted(labels['rows'], 'row')}: {labels['yes']:,} yes, {labels['no']:,} no, "
        f"{labels['undecided']:,} undecided, {labels['unlabelled']:,} not judged; "
        f"{counted(labels['audit_rows'], 'audit row')}"
    )
    if basis["warning"]:
        print(f"warning: {_name(basis['warning'], 2000)}")
    for name, note in metrics.get("contradictory", {}).items():
        print(f"{name}: {_name(str(note), 2000)}")
    if statistics["judges"]:
        print_table(
            f"judges, on {counted(basis['rows'], 'row')} ({basis['kind']})",
            [
                {
                    "judge": _name(names[judge]),
                    "votes": counts["yes_rate"][judge],
                    "yes": _share(labels["yes_rate"][judge]),
                    "95 %": _span(intervals["yes_rate"][judge]),
                    "all votes": _share(labels["yes_rate_all_votes"][judge]),
                    "as others": _share(labels["with_majority"][judge]),
                    "as label": _share(labels["with_source_label"][judge]),
                }
                for judge in statistics["judges"]
            ],
        )
    if any(kappa is not None for kappa in labels["kappa"].values()):
        print_table(
            "Cohen's kappa",
            [
                {
                    "pair": f"{_name(names[one])}, {_name(names[other])}",
                    "rows": counts["kappa"][pair],
                    "same": _share(labels["same_vote"][pair]),
                    "kappa": _share(labels["kappa"][pair]),
                    "95 %": _span(intervals["kappa"][pair]),
                    "in words": statistics["words"]["kappa"][pair],
                }
                for one, other in combinations(statistics["judges"], 2)
                if (pair := f"{one} | {other}")
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
            print(f"{title}: {labels[name]:.3f} ({span}){words}, of {counted(counts[name], 'row')}")
    if labels["teacher_auc"] is not None:
        print(f"AUC of the teacher against the verdict: {labels['teacher_auc']:.3f}")


def _name(text: str, characters: int = _NAME_CHARACTERS) -> str:
    """A judge's name comes from the rows: nothing hidden in it reaches the terminal."""
    return one_line(text, characters)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _span(interval: list[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
