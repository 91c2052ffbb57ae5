"""XML markup that models add to texts: entities and CDATA sections.

A text about a source uses the source's own characters: `AT&amp;T` becomes `AT&T` unless the source
has the entity.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from html.entities import html5

_ENTITY = re.compile(
    r"&((?:amp;)*)((?:#[0-9]{1,32}|#[xX][0-9a-fA-F]{1,32}|[A-Za-z][A-Za-z0-9]{1,31});)"
)
_MOST_LAYERS = 8
"""Layers of an entity that are removed one after the other; more are removed at once."""
_REFERENCE = re.compile(r"&#0*([0-9]{1,8})[0-9]*")
"""A decimal reference; eight digits without leading zeros are beyond Unicode, as more are."""
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_NONE = "\ufffd"
"""Replacement for a numeric reference to no character, as in HTML: NUL, half of a surrogate pair,
beyond Unicode, a control character or none. A reply with it is unusable, see `read_reply`."""
_AROUND = 4
"""Characters on either side by which an entity is located in a source that has both forms."""


def html_unescaped(text: str) -> str:
    """Return `html.unescape(text)`, which fails at a reference of more than 4,300 digits."""
    return html.unescape(_REFERENCE.sub(r"&#\1", text)) if "&" in text else text


def unescaped(text: str, source: str) -> str:
    """Return `text` without the entities that `source` does not have.

    A nested entity (`&amp;lt;`) loses one layer after the other until it occurs in the source.
    Where the source has both forms of a character, the neighbours decide; if they do not match, the
    entity is kept. A numeric reference to no character that the source does not have becomes
    U+FFFD.
    """

    held = cache(source.__contains__)

    def plain(match: re.Match[str]) -> str:
        before = text[max(0, match.start() - _AROUND) : match.start()]
        after = text[match.end() : match.end() + _AROUND]
        forms = _forms(match, held)
        kept = [form for form in forms if held(f"{before}{form}{after}")]
        kept += [form for form in forms[:-1] if held(form)]
        return kept[0] if kept else forms[-1]

    return _ENTITY.sub(plain, text) if "&" in text else text


def without_cdata(text: str, source: str) -> str:
    """Return `text` with the content of each CDATA section that `source` does not have."""
    closed, end, rest = text.rpartition("]]>")  # no section ends in the rest
    kept = _CDATA.sub(lambda match: match[0] if match[0] in source else match[1], closed + end)
    return kept + rest


def _forms(entity: re.Match[str], held: Callable[[str], bool]) -> list[str]:
    """Return an entity with fewer and fewer layers; the last form is a character, if any.

    Args:
        held: whether a text stands in the source.
    """
    fewer = range(min(len(entity[1]) // len("amp;") - 1, _MOST_LAYERS), -1, -1)
    forms = [entity[0], *(f"&{'amp;' * layers}{entity[2]}" for layers in fewer)]
    if forms[-1][1] == "#":
        character = html.unescape(forms[-1])
        if unicodedata.category(character or _NONE) == "Cc" and character not in "\t\n\r":
            character = character if held(character) else _NONE
        character = character or _NONE
    else:
        character = html5.get(forms[-1][1:], "")
    if character == "\xa0" and not held(character):
        character = " "
    if character:
        forms.append(character)
    return forms
