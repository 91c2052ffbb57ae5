"""Text for people: labels of fields and figures, plural forms, and line wrapping.

Names of fields and JSON keys are never changed; only text that a person reads uses this module.
"""

import difflib
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from typing import TextIO

LABELS = {
    "alpha": "Krippendorff's alpha",
    "answer_retention": "answers kept",
    "auc": "AUC",
    "behind_top_n": "left out by --top-n",
    "canary": "check on a known pair",
    "copied_share": "copied from the document",
    "device": "on",
    "dtype": "in",
    "engine": "with",
    "entity_fidelity": "names and numbers that the document has",
    "format_broken": "unusable texts of the model",
    "format_compliance": "texts in the right form",
    "language_agreement": "in the document's language",
    "longer_than_document": "longer than the document",
    "missed_yes_rate": "missed yes",
    "novelty": "words that the document lacks",
    "ok": "passed",
    "rationale_f1": "marked sentences, F1",
    "rationale_precision": "marked sentences, precision",
    "rationale_recall": "marked sentences, recall",
    "score_mse": "squared score error",
    "truncated": "cut to fit the model",
    "long_documents": "documents read in windows",
    "usd": "USD",
    "verdict_accuracy": "right verdicts",
    "wrong_yes_rate": "wrong yes",
    "people_mean": "people's mean",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "from_ledger": "from the ledger",
}
"""Field -> label; the label of any other field is its name without underscores."""
_COUNTED = {
    "given": ("given", "given"),
    "omitted_threshold": ("without, by its score", "without, by their scores"),
    "omitted_evidence_top": ("beyond --evidence-top", "beyond --evidence-top"),
    "omitted_max_evidence_tokens": ("beyond --max-evidence-tokens",) * 2,
    "omitted_blank": ("of a blank document", "of blank documents"),
    "omitted_scattered": ("of a scattered query", "of scattered queries"),
    "omitted_too_many": ("of a query with too many", "of queries with too many"),
    "omitted_repeats": ("left out as a repeat", "left out as repeats"),
    "selected": ("selected by the model's scores",) * 2,
    "repaired": (
        "repaired with its document's sentences",
        "repaired with their documents' sentences",
    ),
    "extracted": ("taken from its document", "taken from their documents"),
    "unsupported_facts": (
        "fact of the model that its document lacks",
        "facts of the model that their documents lack",
    ),
    "tokens_written": ("token written", "tokens written"),
    "tokens_kept": ("token kept", "tokens kept"),
    "batch_tokens": ("token a batch", "tokens a batch"),
}
"""Field -> words after a count of one, and after any other count."""

CORRECTED = "Corrected: "
"""Prefix of a corrected command line."""
EXAMPLE = "For example: "
"""Prefix of an example command line with another model than the one in the command."""


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun, such as "1 row" and "1,200 rows"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def rate(per_second: float, unit: str) -> str:
    """Return a rate such as "2.5 rows/s"; of slow work per minute or per hour."""
    for seconds, name in ((1, "s"), (60, "min")):
        if per_second * seconds >= 0.1 or not per_second:
            return f"{per_second * seconds:,.1f} {unit}/{name}"
    return f"{per_second * 3600:,.1f} {unit}/h"


def duration(seconds: float) -> str:
    """Return a time span in its natural unit: `45 s`, `12.5 min`, `3.2 h`, `2.1 days`."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def expected(message: str) -> str:
    """Convert pydantic's "Input should be X" to "expected X", and drop its "Value error, "."""
    message = message.replace("Value error, ", "", 1)
    before, found, requirement = message.partition("Input should be ")
    number = "a number " if requirement.startswith(("greater", "less")) else ""
    return f"{before}expected {number}{requirement}" if found else message


def did_you_mean(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "did you mean X?" with the most similar candidate; "" if none is similar."""
    near = most_similar(name, candidates, cutoff)
    return f"did you mean {near}?" if near else ""


def most_similar(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the most similar candidate; "" if none is similar.

    Args:
        cutoff: least similarity; 1 means equal.
    """
    return next(iter(difflib.get_close_matches(name, list(candidates), 1, cutoff)), "")


def label(name: str) -> str:
    """Return the label of a field or figure."""
    return LABELS.get(name) or name.replace("_", " ")


def value(content: object) -> str:
    """Return a value as text: yes and no, thousands separators, four digits of a fraction."""
    if content is None:
        return "-"
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, int):
        return f"{content:,}"
    return f"{content:.4g}" if isinstance(content, float) else str(content)


def listed(figures: Mapping[str, object], *, fields: bool = False) -> str:
    """Return names with their values on one line; counts come before their nouns.

    Args:
        fields: True if the names are fields of rows, which are not changed.
    """
    if fields:
        return ", ".join(f"{name} {value(content)}" for name, content in figures.items())
    parts = []
    for name, content in figures.items():
        if name in _COUNTED and isinstance(content, int):
            parts.append(counted(content, *_COUNTED[name]))
        else:
            parts.append(f"{label(name)} {value(content)}")
    return ", ".join(parts)


def wrapped(line: str, stream: TextIO) -> str:
    """Wrap `line` between words at the width of the terminal behind `stream`; unchanged elsewhere.

    A word longer than a line (a path) is not broken, and neither is a command to be copied.
    """
    if not stream.isatty():
        return line
    if "\n" in line:
        return "\n".join(wrapped(part, stream) for part in line.split("\n"))
    width = max(shutil.get_terminal_size().columns, 20)
    if len(line) <= width or line.lstrip().startswith((CORRECTED, EXAMPLE, "prism ")):
        return line
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.lstrip(),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
