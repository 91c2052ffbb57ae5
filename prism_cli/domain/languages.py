"""Language of a text, compared with another text or with a named language: by script, and in Latin
script by py3langid.

High precision: a mismatch is reported only on strong evidence. Not distinguished are languages that
share another script (Russian and Ukrainian, Arabic and Persian, simplified and traditional
Chinese), Danish and Norwegian, Indonesian and Malay, Latin languages that are not in LANGUAGES, and
most texts of fewer than four words.
"""

import re
import unicodedata
from functools import cache, lru_cache

from prism_cli.domain.language_odds import LanguageOdds
from prism_cli.domain.scripts import script_of, word_scripts
from prism_cli.domain.sentences import sentences
from prism_cli.domain.words import words

FUNCTION_WORDS = {
    name: frozenset(listed.split())
    for name, listed in {
        "English": "the of and to in is was that for with as are by it from this which be have "
        "has had were not or an at their its his on but they also these been",
        "German": "der die das und ist nicht ein eine den dem des mit von zu im auf für sich wird "
        "auch werden als bei sind wurde einer einem oder nach aus dass durch",
        "French": "le la les des est et une dans du pour qui par sur au aux avec ce il elle sont "
        "plus pas cette ses ont été leur ou un que en",
        "Spanish": "el la los las del que y en un una es por con para se su como más al fue lo "
        "sus entre pero este esta son desde",
        "Italian": "il di che è la le per un una del della con non sono da gli nel alla si dei "
        "più anche come questo questa delle ed nella",
        "Portuguese": "o os as da do em um uma que não para com é por dos das na no se mais foi "
        "ao como também são pela pelo",
        "Dutch": "de het een en van in is dat op te voor met zijn niet aan er ook door werd om "
        "bij naar uit worden deze",
        "Polish": "i w na z się że jest do nie od to przez dla jak po są za oraz który był",
        "Swedish": "och att det som en på är av för med den till har inte om ett var från kan",
        "Danish or Norwegian": "og at det som en på er af av for med den til har ikke om et var "
        "fra kan blev ble",
        "Turkish": "ve bir bu için ile da de olarak olan daha çok en gibi kadar ise veya",
        "Vietnamese": "và của là các một có trong được cho với không này người những đã",
        "Indonesian": "yang dan di dengan untuk dari dalam ini itu pada adalah tidak ke oleh",
    }.items()
}
"""The most frequent words of languages in Latin script, in lower case; for rules about words."""
LANGUAGES = {
    code: (name, script)
    for script, listed in {
        "LATIN": "cs Czech, da Danish, de German, en English, es Spanish, fi Finnish, fr French, "
        "hu Hungarian, id Indonesian, it Italian, ms Malay, nl Dutch, no Norwegian, pl Polish, "
        "pt Portuguese, ro Romanian, sv Swedish, tr Turkish, vi Vietnamese",
        "CYRILLIC": "bg Bulgarian, ru Russian, uk Ukrainian",
        "CJK": "ja Japanese, zh Chinese",
        "ARABIC": "ar Arabic, fa Persian, ur Urdu",
        "BENGALI": "bn Bengali",
        "DEVANAGARI": "hi Hindi",
        "GREEK": "el Greek",
        "HANGUL": "ko Korean",
        "HEBREW": "he Hebrew",
        "TAMIL": "ta Tamil",
        "THAI": "th Thai",
    }.items()
    for code, name in (entry.split() for entry in listed.split(", "))
}
"""ISO 639-1 code -> English name and script; only languages that use one script."""
MIN_SCRIPT_SHARE = 0.25
"""Least share of the document's words in the script of the other text."""
_MAX_WORDS = 2000
_MIN_LOG_ODDS = 20.0
"""Least log odds against the next language: no wrong name in 8,700 texts of eight languages."""
_MIN_FOREIGN = 4
_SCRIPTS = dict(LANGUAGES.values())
_LATIN_NAMES = {code: name for code, (name, script) in LANGUAGES.items() if script == "LATIN"}
_LATIN_NAMES |= dict.fromkeys(("da", "nb", "nn", "no"), "Danish or Norwegian")
_LATIN_NAMES |= dict.fromkeys(("id", "ms"), "Indonesian or Malay")
_MIN_CJK, _KANA, _NO_KANA = 12, 0.15, 0.02


def language_difference(text: str, document: str) -> str | None:
    """Return how the languages of `text` and `document` differ; None without evidence."""
    text, document = (unicodedata.normalize("NFKC", part) for part in (text, document))
    own, others = (word_scripts(part, _MAX_WORDS) for part in (text, document))
    if not own or not others:
        return None  # only numbers and signs
    script = own.most_common(1)[0][0]
    if others[script] < MIN_SCRIPT_SHARE * others.total():
        document_words = set(words(document))
        new = word_scripts(
            " ".join(word for word in words(text) if word not in document_words), _MAX_WORDS
        )
        if 2 * new[script] < own[script]:
            return None  # code or names that the document has
        return f"{_title(script)} script, the document {_title(others.most_common(1)[0][0])}"
    if script == "CJK":
        language, expected = _kana(text), _kana(document)
    elif script == "LATIN":
        language, expected = latin_language(text), latin_language(document)
    else:
        return None
    if not language or not expected or language == expected:
        return None
    if script == "LATIN" and language in map(latin_language, sentences(document)):
        return None  # the document is in both languages, or quotes
    return f"{language}, the document {expected}"


def language_name(value: str) -> str:
    """Return the English name of a language that is given by name or by a code, such as zh or
    pt-BR; other values are returned unchanged."""
    value = value.strip()
    name, _ = LANGUAGES.get(re.split("[-_]", value)[0].casefold(), ("", ""))
    return name or (value.title() if value.title() in _SCRIPTS else value)


def other_language(text: str, name: str) -> str | None:
    """Return how the language of a text differs from the language `name`; None without evidence.

    Up to three words of another script are ignored: they may be names.

    Args:
        name: a result of `language_name`.
    """
    script = _SCRIPTS.get(name)
    text = unicodedata.normalize("NFKC", text)
    own = word_scripts(text, _MAX_WORDS)
    if script is None or not own:
        return None
    if own.total() >= _MIN_FOREIGN and own[script] < MIN_SCRIPT_SHARE * own.total():
        return f"{_title(own.most_common(1)[0][0])} script, expected {name}"
    if script == "CJK":
        language = _kana(text)
    elif script == "LATIN":
        language = latin_language(text)
    else:
        return None
    return (
        f"{language}, expected {name}" if language and name not in language.split(" or ") else None
    )


def latin_language(text: str) -> str | None:
    """Return the language of LANGUAGES of a text in Latin script; None where it is uncertain."""
    return _latin_language(" ".join(text.split()[:_MAX_WORDS]))


@lru_cache(maxsize=64)
def _latin_language(text: str) -> str | None:
    name, odds = _odds().best(text)
    return name if odds >= _MIN_LOG_ODDS else None


@cache
def _odds() -> LanguageOdds:
    """Return the model of all languages that py3langid has; loading it takes a moment."""
    return LanguageOdds(_LATIN_NAMES.get)


def _kana(text: str) -> str | None:
    """Return Japanese or Chinese, by the share of kana; None where it is uncertain."""
    kana = sum("\u3041" <= char <= "\u30ff" and char.isalpha() for char in text)
    letters = sum(char.isalpha() and script_of(char) == "CJK" for char in text)
    if letters < _MIN_CJK:
        return None
    if kana >= _KANA * letters:
        return "Japanese"
    return "Chinese" if kana <= _NO_KANA * letters else None


def _title(script: str) -> str:
    return {"CJK": "Chinese or Japanese"}.get(script, script.capitalize())
