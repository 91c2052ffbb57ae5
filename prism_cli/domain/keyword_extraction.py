"""Keywords from a query's own words, by rules and without a model: function words are removed.

Weaker than a model: it finds no better words, keeps their order, and rewrites only the languages of
LANGUAGES.
"""

import re
from hashlib import sha256

from prism_cli.domain.chat import UnusableReplyError
from prism_cli.domain.keywords import MAX_KEYWORDS
from prism_cli.domain.languages import FUNCTION_WORDS
from prism_cli.domain.query_words import LANGUAGES
from prism_cli.domain.words import count_words

SKIP = "SKIP"
_VERSION = "extraction 2"
"""Changes with the rules below."""
_TOKEN = re.compile(r'"[^"]+"|“[^”]++”|„[^“”]++[“”]|«[^»]++»|\S+')
_PUNCTUATION = ",;:?!¿¡…"
_INDICATORS = FUNCTION_WORDS | {
    name: lists.dropped | FUNCTION_WORDS[name] for name, lists in LANGUAGES.items()
}
"""Words that indicate a language; languages without lists here are included to be recognized."""


def rules_fingerprint() -> str:
    """Return 16 hex digits that identify rules and lists."""
    lists = [
        (name, sorted(words.dropped), sorted(words.openers), words.hinges.pattern)
        for name, words in LANGUAGES.items()
    ]
    return sha256(f"{_VERSION}\0{MAX_KEYWORDS}\0{lists}".encode()).hexdigest()[:16]


def extracted_keywords(query: str) -> str:
    """Return what a model would answer: the query without its function words, or SKIP.

    SKIP for queries without function words, with a word that determines the meaning, yes-or-no
    questions, and more than MAX_KEYWORDS remaining words (several conditions). Quotations and
    capitalized words after the first are kept verbatim.

    Raises:
        UnusableReplyError: the language is uncertain or not in LANGUAGES, or no word remains.
    """
    words = [word for token in _TOKEN.findall(query) if (word := token.strip(_PUNCTUATION))]
    keys = [word.casefold().replace("’", "'") for word in words]
    hits = {name: sum(key in listed for key in keys) for name, listed in _INDICATORS.items()}
    first, second = sorted(hits, key=lambda name: -hits[name])[:2]
    if not hits[first]:
        return SKIP  # keywords already
    if hits[first] == hits[second] or first not in LANGUAGES:
        raise UnusableReplyError(f"the rules know {', '.join(LANGUAGES)}; it is not plainly one")
    lists = LANGUAGES[first]
    if keys[0] in lists.openers or lists.hinges.search(" ".join(keys)):
        return SKIP
    # Where every word has a capital, a capital marks no name.
    names = any(word[0].islower() for word in words)
    text = " ".join(
        word
        for place, (word, key) in enumerate(zip(words, keys, strict=True))
        if key not in lists.dropped or (names and place and word[0].isupper() and key != "i")
    )
    if not text:
        raise UnusableReplyError("all its words are function words")
    if text[-1] == "." and text.count(".") == 1:
        text = text[:-1]
    return SKIP if count_words(text) > MAX_KEYWORDS else text
