"""Keywords from a query's own words, by rules and without a model: function words are removed.

Weaker than a model: it finds no better words, keeps their order, and rejects languages without word
lists.
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
"""Changes with the rules below."""
_TOKEN = re.compile(r'"[^"]+"|“[^”]+”|„[^“”]+[“”]|«[^»]+»|\S+')
_ELISION = re.compile(r"(?:[cdjlmnst]|qu)['’](?=[^\W\d])")
_INVERSION = re.compile(r"-(?:t-)?(?:ils?|elles?|on|je|tu|nous|vous)$")
_AROUND = ",;:?!¿¡…"
_BRACKETS = {"(": ")", "[": "]"}
_MAX_JOINING = 3
_INDICATORS = FUNCTION_WORDS | {
    name: lists.dropped | lists.orders | lists.counting | set(lists.hinges)
    for name, lists in LANGUAGES.items()
}
"""Words that indicate a language; languages without lists here are included to be recognized."""


def rules_fingerprint() -> str:
    """Return 16 hex digits that identify rules and lists."""
    lists = [
        (name, sorted(words.dropped), sorted(words.orders), sorted(words.openers), words.hinges,
         sorted(words.counting), sorted(words.joining))
        for name, words in LANGUAGES.items()
    ]  # fmt: skip
    return sha256(f"{_FORM}\0{MAX_KEYWORDS}\0{lists}".encode()).hexdigest()[:16]


def extracted_keywords(query: str) -> str:
    """Return what a model would answer: the query without its function words, or SKIP.

    SKIP for queries with a word that determines the meaning, yes-or-no questions, more than
    MAX_KEYWORDS remaining words (several conditions), and queries without removable words. Names,
    numbers and quotations are kept verbatim, including their function words.

    Raises:
        UnusableReplyError: the language is not in LANGUAGES, or no word remains.
    """
    tokens = [bare for token in _TOKEN.findall(query) if (bare := _bare(token))]
    language, words = _language(tokens, question="?" in query)
    if words is None:
        return SKIP  # no function word: these are keywords
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
    """Return the token without surrounding punctuation; quotations and brackets inside are kept."""
    token = token.strip(_AROUND)
    for opening, closing in _BRACKETS.items():
        if token.startswith(opening) and (closing not in token or token.endswith(closing)):
            token = token.removeprefix(opening).removesuffix(closing)
        if token.endswith(closing) and opening not in token:
            token = token.removesuffix(closing)
    token = token.strip(_AROUND)
    return "" if all(unicodedata.category(sign)[0] == "P" for sign in token) else token


def _key(token: str) -> str:
    return _INVERSION.sub("", token.casefold().replace("’", "'").rstrip("."))


def _unelided(token: str) -> list[str]:
    """Split a French "l'Italie" into its two words; keep "L'Oréal" and "qu'est-ce"."""
    elision = _ELISION.match(token) or (token[1:].islower() and _ELISION.match(token.lower()))
    if not elision or _key(token) in LANGUAGES["French"].dropped:
        return [token]
    return [token[: elision.end()], token[elision.end() :]]


def _language(tokens: Sequence[str], *, question: bool) -> tuple[str, QueryWords | None]:
    """Return the language with most function words in the query; no lists for a query without any.

    Raises:
        UnusableReplyError: the language is uncertain.
    """
    scripts = word_scripts(" ".join(tokens))
    if scripts.keys() - {"LATIN"}:
        raise UnusableReplyError(f"the rules know {', '.join(LANGUAGES)} alone")
    keys = [_key(part) for token in tokens for part in {token, *_unelided(token)}]
    hits = {name: sum(key in words for key in keys) for name, words in _INDICATORS.items()}
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
    """Return for each token whether it is kept."""
    little = [key in words.dropped for key in keys]
    large = [token[0].isupper() for token in tokens]
    # Where Every Word Has One, a capital means nothing.
    marks = list(zip(little, large, strict=True))
    significant = (False, False) in marks or (True, True) not in marks[1:]
    capital = [place > 0 and significant and is_large for place, is_large in enumerate(large)]
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
