"""Terminal output of `prism eval labels`."""

from collections.abc import Mapping
from typing import Any

from prism_cli.commands.tables import interval_text, print_table, value_text
from prism_cli.reporting.figures import NO_FIGURE, grouped
from prism_cli.reporting.labels import judge_pairs, short_names
from prism_cli.reporting.sanitize import one_line
from prism_cli.wording import counted

_NAME_CHARACTERS = 80


def print_labels(metrics: Mapping[str, Any]) -> None:
    """Print judges, pairs, alpha, teacher and panel; a warning where agreement is undefined."""
    labels, judges = metrics["labels"], metrics["statistics"]["judges"]
    figures, basis = grouped(metrics), metrics["statistics"]["basis"]
    print(
        f"{counted(labels['rows'], 'row')}: {labels['yes']:,} yes, {labels['no']:,} no, "
        f"{labels['undecided']:,} undecided, {labels['unlabelled']:,} not judged; "
        f"{counted(labels['audit_rows'], 'audit row')}"
    )
    if basis["warning"]:
        print(f"warning: {_name(basis['warning'], 2000)}")
    for name, note in metrics.get("contradictory", {}).items():
        print(f"{name}: {_name(str(note), 2000)}")
    if judges:
        print_table(
            f"judges, on {counted(basis['rows'], 'row')} ({basis['kind']})",
            [
                {
                    "judge": _name(name),
                    "votes": figures["yes_rate"][judge].n,
                    "yes": value_text(figures["yes_rate"][judge]),
                    "95 %": interval_text(figures["yes_rate"][judge]),
                    "all votes": value_text(figures["yes_rate_all_votes"][judge]),
                    "as others": value_text(figures["with_majority"][judge]),
                    "as label": value_text(figures["with_source_label"][judge]),
                }
                for judge, name in short_names(judges).items()
            ],
        )
    if any(figure.value is not None for figure in figures["kappa"].values()):
        print_table(
            "Cohen's kappa",
            [
                {
                    "pair": f"{_name(first)}, {_name(second)}",
                    "rows": figures["kappa"][pair].n,
                    "same": value_text(figures["same_vote"][pair]),
                    "kappa": value_text(figures["kappa"][pair]),
                    "95 %": interval_text(figures["kappa"][pair]),
                    "in words": figures["kappa"][pair].words,
                }
                for first, second, pair in judge_pairs(judges)
            ],
        )
    for name, title in (
        ("alpha", "Krippendorff's alpha"),
        ("disputed", "not unanimous"),
        ("changed_verdicts", "verdicts that stopping early would change"),
        ("teacher_agreement", "teacher as the panel"),
    ):
        figure = figures[""].get(name, NO_FIGURE)
        if figure.value is not None:
            words = f", {figure.words}" if figure.words else ""
            rows = counted(figure.n or 0, "row")
            print(f"{title}: {value_text(figure)} ({interval_text(figure)}){words}, of {rows}")
    if labels["teacher_auc"] is not None:
        print(f"AUC of the teacher against the verdict: {labels['teacher_auc']:.3f}")


def _name(text: str, characters: int = _NAME_CHARACTERS) -> str:
    """Return a judge's name, which comes from the rows, made safe for the terminal."""
    return one_line(text, characters)
