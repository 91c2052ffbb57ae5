"""Terminal output of `prism eval answers`."""

from collections.abc import Mapping
from typing import Any

from prism_cli.commands.tables import interval_text, show_table, stdout_console, value_text
from prism_cli.reporting.answers import CONTEXTS, reader_words, test_words
from prism_cli.reporting.figures import grouped
from prism_cli.wording import counted

_MEASURES = {
    "exact_match": "exact match",
    "contained": "contained",
    "no_answer_accuracy": "right “no answer”",
}
_MEANS = {"tokens_read": "tokens read", "tokens_written": "written"}
_COUNTS = {"refused": "no usable reply", "cut": "cut", "without_text": "not asked"}


def print_answers(metrics: Mapping[str, Any]) -> None:
    """Print the measures of each context and the paired tests, without empty columns."""
    groups, queries = grouped(metrics), metrics["queries"]
    contexts = {name: groups[name] for name in CONTEXTS if name in groups}
    rows = []
    for name, figures in contexts.items():
        row: dict[str, object] = {"context": CONTEXTS[name]}
        if queries["answerable"]:
            row |= {"F1": value_text(figures["f1"]), "95 % interval": interval_text(figures["f1"])}
        for measure, words in _MEASURES.items():
            if any(other[measure].value is not None for other in contexts.values()):
                row[words] = value_text(figures[measure])
        row |= {words: round(figures[name].value or 0) for name, words in _MEANS.items()}
        if any(other["usd"].value is not None for other in contexts.values()):
            row["USD"] = f"{figures['usd'].value or 0:.6f}"
        for name, words in _COUNTS.items():
            if any(other[name].value for other in contexts.values()):
                row[words] = round(figures[name].value or 0)
        rows.append(row)
    with stdout_console() as console:
        console.print(
            f"{counted(queries['all'], 'query', 'queries')}, {queries['unanswerable']:,} of them "
            f"unanswerable; reader {reader_words(metrics)}"
        )
        show_table(console, rows)
        if any(figures["refused"].value for figures in contexts.values()):
            console.print("replies that could not be used: see refusal in rows.jsonl")
        for test in metrics["statistics"]["tests"]:
            console.print(test_words(test))
