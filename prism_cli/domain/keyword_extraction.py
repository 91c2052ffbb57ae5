"""Keywords from a query's own words, by rules and without a model: its little words go.

Weaker than a model: it finds no better words, leaves them in their order, and gives up on
languages that it has no lists for.
"""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import sha256

from prism_cli.domain.chat import UnusableReplyError
from prism_cli.domain.keywords import MAX_KEYWORDS
from prism_cli.domain.languages import FUNCTION_WORDS
from prism_cli.domain.query_words import LANGUAGES, QueryWords
from prism_cli.domain.scripts import word_scripts
from prism_cli.domain.words import count_words

SKIP = "SKIP"
_FORM = "extraction 1"
"""Changes whenever the rules below do."""
_TOKEN = re.compile(r'"[^"]+"|“[^”]+”|„[^“”]+[“”]|«[^»]+»|\S+')
_ELISION = re.compile(r"(?:[cdjlmnst]|qu)['’](?=[^\W\d])")
_INVERSION = re.compile(r"-(?:t-)?(?:ils?|elles?|on|je|tu|nous|vous)$")
_AROUND = ",;:?!¿¡…"
_BRACKETS = {"(": ")", "[": "]"}
_MAX_JOINING = 3
_TELLING = FUNCTION_WORDS | {
    name: one.dropped | one.orders | one.counting | set(one.hinges)
    for name, one in LANGUAGES.items()
}
"""Words that tell a language; those without lists here are there to be told apart."""


def rules_fingerprint() -> str:
    """Of rules and lists: 16 hex digits."""
    lists = [
        (name, sorted(one.dropped), sorted(one.orders), sorted(one.openers), one.hinges,
         sorted(one.counting), sorted(one.joining))
        for name, one in LANGUAGES.items()
    ]  # fmt: skip
    return sha256(f"{_FORM}\0{MAX_KEYWORDS}\0{lists}".encode()).hexdigest()[:16]


def extracted_keywords(query: str) -> str:
    """What a model would answer: the query without its little words, or SKIP.

    SKIP where a word stands on which meaning hangs, for questions of yes or no, where more than
    MAX_KEYWORDS are left (several conditions), and where nothing can go. Names, numbers and
    quotations stay as they are written, with the little words inside.

    Raises:
        UnusableReplyError: another language than those of LANGUAGES, or nothing is left.
    """
    tokens = [bare for one in _TOKEN.findall(query) if (bare := _bare(one))]
    language, words = _language(tokens, question="?" in query)
    if words is None:
        return SKIP  # no little word: these are keywords
    if language == "French":
        tokens = [part for token in tokens for part in _unelided(token)]
    keys = [_key(token) for token in tokens]
    if _hinges(keys, words) or keys[0] in words.openers:
        return SKIP
    kept = _kept(tokens, keys, words)
    text = " ".join(token for token, keep in zip(tokens, kept, strict=True) if keep)
    if not text:
        raise UnusableReplyError("all its words are little words")
    if text[-1] == "." and text.count(".") == 1:
        text = text[:-1]
    return SKIP if count_words(text) > MAX_KEYWORDS else text


def _bare(token: str) -> str:
    """Without the punctuation around it; quotations and brackets inside stay."""
    token = token.strip(_AROUND)
    for opening, closing in _BRACKETS.items():
        if token.startswith(opening) and (closing not in token or token.endswith(closing)):
            token = token.removeprefix(opening).removesuffix(closing)
        if token.endswith(closing) and opening not in token:
            token = token.removesuffix(closing)
    token = token.strip(_AROUND)
    return "" if all(unicodedata.category(one)[0] == "P" for one in token) else token


def _key(token: str) -> str:
    return _INVERSION.sub("", token.casefold().replace("’", "'").rstrip("."))


def _unelided(token: str) -> list[str]:
    """A French "l'Italie" in its two words; "L'Oréal" and "qu'est-ce" in one."""
    found = _ELISION.match(token) or (token[1:].islower() and _ELISION.match(token.lower()))
    if not found or _key(token) in LANGUAGES["French"].dropped:
        return [token]
    return [token[: found.end()], token[found.end() :]]


def _language(tokens: Sequence[str], *, question: bool) -> tuple[str, QueryWords | None]:
    """The language with most little words in the query; no lists where there is no little word.

    Raises:
        UnusableReplyError: none that is plain.
    """
    scripts = word_scripts(" ".join(tokens))
    if scripts.keys() - {"LATIN"}:
        raise UnusableReplyError(f"the rules know {', '.join(LANGUAGES)} alone")
    keys = [_key(part) for token in tokens for part in {token, *_unelided(token)}]
    hits = {name: sum(key in own for key in keys) for name, own in _TELLING.items()}
    first, second = sorted(hits, key=lambda name: -hits[name])[:2]
    if not hits[first] and not question:
        return "", None
    if hits[first] == hits[second] or first not in LANGUAGES:
        raise UnusableReplyError(f"the rules know {', '.join(LANGUAGES)}; it is not plainly one")
    return first, LANGUAGES[first]


def _hinges(keys: Sequence[str], words: QueryWords) -> bool:
    line = f" {' '.join(keys)} "
    return "n't " in line or any(
        f" {hinge[:-1]}" in line if hinge.endswith("*") else f" {hinge} " in line
        for hinge in words.hinges
    )


def _kept(tokens: Sequence[str], keys: Sequence[str], words: QueryWords) -> list[bool]:
    """For each token whether it stays."""
    little = [key in words.dropped for key in keys]
    large = [token[0].isupper() for token in tokens]
    # Where Every Word Has One, a capital tells nothing.
    marks = list(zip(little, large, strict=True))
    telling = (False, False) in marks or (True, True) not in marks[1:]
    capital = [place > 0 and telling and one for place, one in enumerate(large)]
    kept = [
        (capital[place] and key != "i")
        or not (little[place] or (place == 0 and key in words.orders))
        for place, key in enumerate(keys)
    ]
    for place, key in enumerate(keys[:-1]):
        if key in words.counting and kept[place + 1] and not capital[place + 1]:
            kept[place] = True
    for place in range(1, len(keys) - 1):
        if not capital[place - 1]:
            continue
        end = place
        while end < len(keys) and keys[end] in words.joining and not capital[end]:
            end += 1
        if 0 < end - place <= _MAX_JOINING and end < len(keys) and capital[end]:
            kept[place:end] = [True] * (end - place)
    return kept
