"""Markup that models put into texts because they were asked for XML: entities and CDATA sections.

A text written about a source holds the source's own characters: `AT&amp;T` becomes `AT&T` unless
that is how the source has it.
"""

import html
import re
import unicodedata
from html.entities import html5

_ENTITY = re.compile(
    r"&(?:amp;)*(?:#[0-9]{1,32}|#[xX][0-9a-fA-F]{1,32}|[A-Za-z][A-Za-z0-9]{1,31});"
)
_LAYERED = re.compile(r"&amp;(.+;)")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_NONE = "\ufffd"
"""What stands for a numeric reference to no character, as HTML has it: NUL, half of a surrogate
pair, beyond Unicode, a control or none at all. A reply with it is unusable, see `read_reply`."""
_AROUND = 4
"""Characters on either side by which an entity is found again in a source that has both forms."""


def unescaped(text: str, source: str) -> str:
    """`text` without the entities that `source` does not have.

    An entity that was escaped itself (`&amp;lt;`) loses one layer after the other until it stands
    in the source. Where the source holds a character both ways, the neighbours decide; where they
    do not, the entity stays. A numeric reference to no character that the source does not have
    becomes U+FFFD.
    """

    def plain(found: re.Match[str]) -> str:
        before = text[max(0, found.start() - _AROUND) : found.start()]
        after = text[found.end() : found.end() + _AROUND]
        forms = _forms(found[0], source)
        kept = [form for form in forms if f"{before}{form}{after}" in source]
        kept += [form for form in forms[:-1] if form in source]
        return kept[0] if kept else forms[-1]

    return _ENTITY.sub(plain, text) if "&" in text else text


def without_cdata(text: str, source: str) -> str:
    """`text` with the content of each CDATA section that `source` does not have."""
    return _CDATA.sub(lambda found: found[0] if found[0] in source else found[1], text)


def _forms(entity: str, source: str) -> list[str]:
    """An entity with fewer and fewer layers; the last is a character, if there is one."""
    forms = [entity]
    while layered := _LAYERED.fullmatch(forms[-1]):
        forms.append(f"&{layered[1]}")
    if forms[-1][1] == "#":
        character = html.unescape(forms[-1])
        if unicodedata.category(character or _NONE) == "Cc" and character not in "\t\n\r":
            character = character if character in source else _NONE
        character = character or _NONE
    else:
        character = html5.get(forms[-1][1:], "")
    if character == "\xa0" and character not in source:
        character = " "
    if character:
        forms.append(character)
    return forms
