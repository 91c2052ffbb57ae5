"""Fences around untrusted text in a prompt.

The mark is derived from the template and the texts, so that the author of a document cannot predict
it, and equal questions are equal bytes.
"""

import re
from collections.abc import Sequence

from prism_cli.rows.row import texts_digest

_FENCE_LIKE = re.compile(r"<<<+|>>>+")
_TURN_LIKE = re.compile(
    r"<(?=[|｜])|\|(?=>)|｜(?=>)"  # <|im_end|>, <|eot_id|>, <|endoftext|>, <｜end▁of▁sentence｜>
    r"|<(?=/?s>|/?think>|(?:start|end)_of_turn>|/?SYS>)|\[(?=/?INST\])",
)
"""First characters of control tokens of chat templates. Servers that insert a text into their
template before they tokenize it would parse such a text as the control token. Each alternative
begins with one character: `re` then skips to the next of them three times as fast."""
_APART = re.compile(
    r"<(?: <){2,}|>(?: >){2,}|[|｜] >|\[ /?INST\]"
    r"|< (?:[|｜]|/?s>|/?think>|(?:start|end)_of_turn>|/?SYS>)"
)
"""The result of `neutralised` for such text."""


def fenced_texts(template: str, named: Sequence[tuple[str, str]]) -> str:
    """Return the texts, each between its fences, separated by blank lines, with one mark for all.

    Args:
        template: the fingerprint of the prompt template.
        named: (name, text).
    """
    mark = fence_mark(template, *(text for _, text in named))
    return "\n\n".join(fenced(name, text, mark) for name, text in named)


def fence_mark(*texts: str) -> str:
    """Return 12 hex digits of the digest of the texts."""
    return texts_digest(*texts).hex()[:12]


def fenced(name: str, text: str, mark: str) -> str:
    """Return `text` between two lines with the mark; text that looks like such a line, or like the
    end of a turn, is broken up."""
    return f"<<<{name} {mark}>>>\n{neutralised(text)}\n<<<end of {name} {mark}>>>"


def neutralised(text: str) -> str:
    """Return `text` with spaces in anything that could open or close a fence, or a turn of a chat
    template.

    Affected are runs of three or more < or >, and control tokens of the known templates. All other
    characters are unchanged.
    """
    spaced = _FENCE_LIKE.sub(lambda run: " ".join(run.group()), text)
    return _TURN_LIKE.sub(r"\g<0> ", spaced)


def restored(text: str, source: str) -> str:
    """Undo `neutralised` in `text`, which a model wrote about the neutralised `source`."""

    def join(match: re.Match[str]) -> str:
        joined = match[0].replace(" ", "")
        return joined if joined in source and match[0] not in source else match[0]

    return _APART.sub(join, text)
