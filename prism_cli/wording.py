"""Words for people: the labels of fields and figures, plural forms, and lines that break between
words.

Names of fields and keys of JSON stay as they are; only what a person reads goes through here.
"""

import shutil
import textwrap
from collections.abc import Mapping
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
    "format_broken": "yes without usable evidence",
    "format_compliance": "texts in the right form",
    "language_agreement": "in the query's language",
    "longer_than_document": "longer than the document",
    "missed_yes_rate": "missed yes",
    "novelty": "words that the document lacks",
    "ok": "passed",
    "rationale_f1": "marked sentences, F1",
    "rationale_precision": "marked sentences, precision",
    "rationale_recall": "marked sentences, recall",
    "score_mse": "squared score error",
    "truncated": "cut to fit the model",
    "usd": "USD",
    "verdict_accuracy": "right verdicts",
    "wrong_yes_rate": "wrong yes",
    "people_mean": "people's mean",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "from_ledger": "from the ledger",
}
"""Field -> words; a field that is not here is its own words, without underscores."""
_COUNTED = {
    "given": ("given", "given"),
    "omitted_threshold": ("without, by its score", "without, by their scores"),
    "omitted_evidence_top": ("beyond --evidence-top", "beyond --evidence-top"),
    "omitted_max_evidence_tokens": ("beyond --max-evidence-tokens",) * 2,
    "omitted_blank": ("of a blank document", "of blank documents"),
    "omitted_scattered": ("of a scattered query", "of scattered queries"),
    "tokens_written": ("token written", "tokens written"),
    "tokens_kept": ("token kept", "tokens kept"),
    "batch_tokens": ("token a batch", "tokens a batch"),
}
"""Field -> what stands behind a count of one, and of another number."""


CORRECTED = "Corrected: "
"""Stands before the command line that was meant."""
EXAMPLE = "For example: "
"""Stands before a command line that works, with another model than the one that was named."""


def counted(count: int, one: str, many: str = "") -> str:
    """Such as "1 row" and "1,200 rows"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def expected(told: str) -> str:
    """pydantic's "Input should be X" as "expected X"."""
    before, found, wanted = told.partition("Input should be ")
    number = "a number " if wanted.startswith(("greater", "less")) else ""
    return f"{before}expected {number}{wanted}" if found else told


def label(name: str) -> str:
    """A field or figure in words."""
    return LABELS.get(name) or name.replace("_", " ")


def value(content: object) -> str:
    """A value in words: yes and no, thousands apart, four digits of a fraction."""
    if content is None:
        return "-"
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, int):
        return f"{content:,}"
    return f"{content:.4g}" if isinstance(content, float) else str(content)


def listed(figures: Mapping[str, object], *, fields: bool = False) -> str:
    """Names with their values on one line; counts stand before what they count.

    Args:
        fields: the names are those of fields of rows, and stay as they are.
    """
    if fields:
        return ", ".join(f"{name} {value(content)}" for name, content in figures.items())
    told = []
    for name, content in figures.items():
        if name in _COUNTED and isinstance(content, int):
            told.append(counted(content, *_COUNTED[name]))
        else:
            told.append(f"{label(name)} {value(content)}")
    return ", ".join(told)


def wrapped(line: str, stream: TextIO) -> str:
    """`line` broken between words at the width of the terminal behind `stream`; elsewhere as it is.

    A word that is longer than a line (a path) stays whole, and so does a command to be copied.
    """
    if not stream.isatty():
        return line
    if "\n" in line:
        return "\n".join(wrapped(one, stream) for one in line.split("\n"))
    width = max(shutil.get_terminal_size().columns, 20)
    if len(line) <= width or line.startswith((CORRECTED, EXAMPLE)):
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
