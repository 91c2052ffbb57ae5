"""The text after a verdict: written for training, parsed from a model's output.

`no`, or `yes` and two tagged texts on separate lines. Tags inside a text would be ambiguous, so a
text written here loses the angle brackets of such tags and surrounding white space; for all other
texts `parse_text` is the inverse of `render_target`.
"""

import re
from dataclasses import dataclass

from prism_cli.errors import RowError
from prism_cli.rows.texts import stripped

_OWN_TAG = re.compile(r"(?<!<)(<*+)(/?)(<*+)(contribution|evidence)(>++)")
"""An own tag in any number of brackets, before its slash or behind it."""
_PAIRS = {
    tag: re.compile(f"<{tag}>((?:(?!</?{tag}>).)*)</{tag}>", re.DOTALL)
    for tag in ("contribution", "evidence")
}


@dataclass(frozen=True, slots=True)
class ParsedText:
    """The texts that a model wrote.

    Attributes:
        contribution, evidence: the first well-formed pair of each tag, stripped; None without one.
        format_ok: True where both exist and neither is blank.
    """

    contribution: str | None
    evidence: str | None
    format_ok: bool


def render_target(verdict: str, contribution: str | None, evidence: str | None) -> str:
    """Return the text that a model should produce, without the end-of-turn token.

    Raises:
        RowError: the verdict is neither "yes" nor "no", or a text of a "yes" is blank.
    """
    if verdict == "no":
        return "no"
    if verdict != "yes":
        raise RowError("verdict", f'expected "yes" or "no", found {verdict!r}')
    texts = {"contribution": plain_text(contribution), "evidence": plain_text(evidence)}
    for field, text in texts.items():
        if not text:
            raise RowError(field, 'expected text for the verdict "yes", found none')
    return "yes" + "".join(f"\n<{tag}>{text}</{tag}>" for tag, text in texts.items())


def plain_text(text: str | None) -> str:
    """Return `text` for a target: stripped, and without the brackets of a target's own tags."""
    return stripped(_OWN_TAG.sub(_without_brackets, text or ""))


def _without_brackets(tag: re.Match[str]) -> str:
    """Return a tag without its pairs of brackets, from the inner ones to the outer ones."""
    outer, slash, inner, name, closing = tag.groups()
    pairs = min(len(inner), len(closing))
    if pairs == len(inner):
        more = min(len(outer), len(closing) - pairs)
        return f"{outer[more:]}{slash}{name}{closing[pairs + more :]}"
    return f"{outer}{slash}{inner[pairs:]}{name}{closing[pairs:]}"


def parse_text(text: str) -> ParsedText:
    """Parse a model's output.

    A pair is well-formed where no tag of the same name occurs between its tags, so a pair that was
    opened twice counts from the second opening.
    """
    matches = {tag: pattern.search(text) for tag, pattern in _PAIRS.items()}
    contribution, evidence = (match and stripped(match[1]) for match in matches.values())
    return ParsedText(contribution, evidence, bool(contribution and evidence))
