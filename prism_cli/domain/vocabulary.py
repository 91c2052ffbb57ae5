"""Broken words of a text: glued or invented ones, such as "thesechannels", that neither its
document nor the language has.

High precision: only words in Latin script without digits or capitals, and the first word of a
sentence, are judged; names, numbers and code are not words. English: a word that the list of
`wordfreq` lacks in English, and that is no compound. Other languages of Latin script: only two
words that were glued together, one of them a function word. Others are not judged, nor
is any where wordfreq is not installed.
"""

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from importlib.util import find_spec

from prism_cli.domain.languages import FUNCTION_WORDS, latin_language
from prism_cli.domain.query_words import LANGUAGES
from prism_cli.domain.sentences import sentence_spans

CODES = {
    "English": "en", "German": "de", "French": "fr", "Spanish": "es", "Italian": "it",
    "Portuguese": "pt", "Dutch": "nl", "Polish": "pl", "Swedish": "sv",
}  # fmt: skip
_MIN_LETTERS = 6
"""Shorter words are not judged: abbreviations, units, names of code."""
_FREQUENT = 3.0
"""Least frequency (Zipf) of the other part of a glued word: once in a million words."""
_MIN_PART = 3
_LATIN = "a-z\u00df-\u00f6\u00f8-\u024f"
_WORD = re.compile(
    rf"(?<![\w@#/\\.'’&-])[^\W\d_][{_LATIN}]{{{_MIN_LETTERS - 1},40}}(?![\w@/\\'’&_-]|\.\w|\()"
)
_LATIN_WORD = re.compile("[A-Za-z]{3}")
_ENDING = 4
"""Letters by which the forms of a word may differ."""
_AFFIXES = frozenset(
    str.split(
        "non pre anti over under sub super multi dis inter intra out mis proto oligo meso hyper "
        "hypo micro macro nano poly mono tele neuro cardio immuno ness less like able ise ize ised "
        "ized iser izer ises izes ably wise ward ally ment ing ings ers"
    )
)
_SCIENTIFIC = re.compile(
    "(?:scopy|plasty|tomy|itis|osis|[ae]mia|pathy|logic(?:al|ally)?|ology|genic|static|i[sz]ation|ium)s?$"
)
_SHORT_PREFIXES = ("un", "re", "de", "co", "in")
_COMMON = FUNCTION_WORDS["English"] | LANGUAGES["English"].dropped
# They also begin or end words: "mitgebracht", "desinfiziert", "surpeuplé".
_ALSO_AFFIXES = frozenset(
    str.split(
        "mit von auf aus bei als des ein nach durch nicht sur par pour con por per non sin uno met "
        "voor door naar over till inte med har från kan para como sobre entre dos das com sem has "
        "had not with but for are was"
    )
)
_GLUED = {
    name: {word for word in words if len(word) >= _MIN_PART} - _ALSO_AFFIXES
    for name, words in FUNCTION_WORDS.items()
}


def broken_words(text: str, words: Collection[str], language: str) -> list[tuple[int, int]]:
    """Return the ranges of the broken words of `text`, in order.

    Args:
        words: the words of document and query, ignoring case.
        language: the document's, a name of LANGUAGES, by `text_language`.
    """
    if language not in CODES:
        return []
    return [
        span
        for word, span in _judged(text)
        if word not in words and _is_broken(word, words, language)
    ]


@lru_cache(maxsize=64)
def text_language(text: str) -> str:
    """Return the language of a document, by its beginning; "" where it is uncertain."""
    beginning = text[:20_000]
    return (_LATIN_WORD.search(beginning) and latin_language(beginning)) or ""


def _judged(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    starts: set[int] | None = None
    for match in _WORD.finditer(text):
        word = match[0]
        if word[0].isupper():
            starts = starts or {start for start, _ in sentence_spans(text)}
            if match.start() not in starts:
                continue
        yield word.casefold(), match.span()


def _is_broken(word: str, words: Collection[str], language: str) -> bool:
    frequency = word_frequencies()
    code = CODES[language]
    if frequency is None or frequency(word, code) or frequency(word, "en"):
        return False
    stem = word[: max(_MIN_LETTERS - 2, len(word) - _ENDING)]
    if any(other.startswith(stem) for other in words):
        return False
    if word[:2] in _SHORT_PREFIXES and frequency(word[2:], "en") >= _FREQUENT:
        return False
    parts = [(word[:at], word[at:]) for at in range(_MIN_PART, len(word) - _MIN_PART + 1)]
    if any(
        (first in _GLUED[language] and frequency(second, code) >= _FREQUENT)
        or (
            second in _GLUED[language]
            and len(second) > _MIN_PART
            and frequency(first, code) >= _FREQUENT
        )
        for first, second in parts
    ):
        return True
    if language != "English" or _SCIENTIFIC.search(word):
        return False
    return not any(
        _is_part(first, words, frequency) and _is_part(second, words, frequency)
        for first, second in parts
    )


def _is_part(part: str, words: Collection[str], frequency: Callable[[str, str], float]) -> bool:
    """Return whether a part of an English word is an affix, or a content word."""
    return part in _AFFIXES or (
        part not in _COMMON and (part in words or frequency(part, "en") >= _FREQUENT)
    )


@lru_cache(maxsize=1)
def word_frequencies() -> Callable[[str, str], float] | None:
    """Return wordfreq's frequency of a word in a language (Zipf, 0 for none), if installed."""
    if find_spec("wordfreq") is None:
        return None
    from wordfreq import zipf_frequency

    return lambda word, language: float(zipf_frequency(word, language))
