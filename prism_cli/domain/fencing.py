"""Text of others inside a prompt: fenced, so that what stands in it is only text.

The mark is derived from the template and the texts, so that nobody who writes a document can know
it, and so that equal questions are equal bytes.
"""

import re
from collections.abc import Sequence

from prism_cli.rows.row import texts_digest

_FENCE_LIKE = re.compile(r"<{3,}|>{3,}")
_TURN_LIKE = re.compile(
    r"<(?=[|｜])|[|｜](?=>)"  # <|im_end|>, <|eot_id|>, <|endoftext|>, <｜end▁of▁sentence｜>
    r"|<(?=/?s>|/?think>|(?:start|end)_of_turn>|/?SYS>)|\[(?=/?INST\])",
)
"""First characters of what chat templates write between turns. Servers that put a text into their
template before they tokenize it take such a text for the control token itself."""
_APART = re.compile(
    r"<(?: <){2,}|>(?: >){2,}|[|｜] >|\[ /?INST\]"
    r"|< (?:[|｜]|/?s>|/?think>|(?:start|end)_of_turn>|/?SYS>)"
)
"""What `neutralised` makes of them."""


def fenced_texts(template: str, named: Sequence[tuple[str, str]]) -> str:
    """The texts, each between its fences, blank lines between them; one mark for all.

    Args:
        template: the fingerprint of what they are put into.
        named: (name, text).
    """
    mark = fence_mark(template, *(text for _, text in named))
    return "\n\n".join(fenced(name, text, mark) for name, text in named)


def fence_mark(*texts: str) -> str:
    """12 hex digits from the digest of the texts."""
    return texts_digest(*texts).hex()[:12]


def fenced(name: str, text: str, mark: str) -> str:
    """`text` between two lines that carry the mark; what looks like such a line, or like the end
    of a turn, is taken apart."""
    return f"<<<{name} {mark}>>>\n{neutralised(text)}\n<<<end of {name} {mark}>>>"


def neutralised(text: str) -> str:
    """`text` with spaces in what could open or close a fence, or a turn of a chat template.

    These are runs of three or more < or >, and control tokens of the known templates. All other
    characters stay as they are.
    """
    spaced = _FENCE_LIKE.sub(lambda run: " ".join(run.group()), text)
    return _TURN_LIKE.sub(r"\g<0> ", spaced)


def restored(text: str, source: str) -> str:
    """`text`, which a model wrote about the neutralised `source`, as `source` has it."""

    def whole(found: re.Match[str]) -> str:
        joined = found[0].replace(" ", "")
        return joined if joined in source and found[0] not in source else found[0]

    return _APART.sub(whole, text)
