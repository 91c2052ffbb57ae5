"""Detection of empty evidence: a text must share a word with its document.

A model without evidence still fills the tags: "No;", "N/A", "None.", an answer to another question.
Such a text has no content word in common with the document.
"""

import re
import unicodedata

from prism_cli.domain.query_words import WITHOUT_CONTENT
from prism_cli.domain.words import UNSPACED
from prism_cli.rows.texts import is_blank

_RUN = re.compile(rf"[{UNSPACED}]+|[^\s/|,;:{UNSPACED}]+")
_ANSWERS = frozenset(
    str.split(
        "yes no not none nothing never null nil na nan n/a unknown empty ok okay true false "
        "relevant irrelevant applicable available evidence contribution document passage text "
        "query question answer information contains contain mentions mention mentioned provided "
        "found given cannot sorry "
        "ja nein nicht kein keine keinen oui non pas aucun aucune sí si ninguno ninguna sim não "
        "да нет не sì niente evet hayır tak nie 네 예 아니요 아니오 없음 없습니다 "
        "نعم لا כן לא हाँ नहीं"
    )
)
_EMPTY = _ANSWERS | WITHOUT_CONTENT
_UNSPACED_ANSWERS = re.compile(
    "不相关|不相關|相关|相關|没有|沒有|信息|文档|文檔|はい|いいえ|なし|無し|関連|情報|文書|ใช่|ไม่ใช่|ไม่มี|ไม่"
)
_LETTERS = frozenset("bcdefghijklmnopqrstuvwxyz")
_JOINED = re.compile("([\uac00-\ud7a3])|[\u0590-\u06ff]")
"""Scripts that join particles to words: Korean (after the word), Hebrew, Arabic."""
_POINTS = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]"
)
"""Accents, and the vowel points of Hebrew and Arabic, which many texts omit."""


def shares_words(evidence: str, document: str) -> bool:
    """Return whether `evidence` shares a content word with `document`.

    One word is enough: a number, or a word of at least two letters that is neither a function word
    (the, is) nor a bare answer (yes, none, irrelevant); its ending may differ. In scripts without
    blanks and in Korean, two consecutive characters; in Arabic and Hebrew, three letters. Accents
    and vowel points are ignored.
    """
    source, tried = "", set[str]()
    for run in _RUN.finditer(_folded(evidence)):
        for part in _parts(run[0]):
            source = source or _folded(document)
            if part not in tried and part in source:
                return True
            tried.add(part)
    return False


def texts_fault(contribution: str, evidence: str) -> str | None:
    """Return why texts are no valid label of a row with the verdict yes; None for valid ones."""
    if is_blank(contribution) or is_blank(evidence):
        return "without contribution and evidence"
    for name, text in (("a contribution", contribution), ("evidence", evidence)):
        if not says_something(text):
            return f"with {name} that says nothing"
    return None


def says_something(text: str) -> bool:
    """Return whether a text has a content word: it is more than "N/A" or "The document does not
    contain relevant information.". A single letter may be a name."""
    runs = _RUN.findall(_folded(text))
    return any(map(_parts, runs)) or (len(runs) == 1 and runs[0] in _LETTERS)


def _parts(run: str) -> list[str]:
    """Return the parts of a run of characters of which any one must occur in the document."""
    if re.match(f"[{UNSPACED}]", run):
        pieces = _UNSPACED_ANSWERS.split(run)
        return [piece[at : at + 2] for piece in pieces for at in range(len(piece) - 1)]
    word = run.strip("".join({sign for sign in run if unicodedata.category(sign)[0] in "PSZC"}))
    if word in _EMPTY or is_blank(word) or (len(word) < 2 and not word.isdigit()):
        return []
    if particle := _JOINED.match(word):
        size = 2 if particle[1] else 3
        return [word[at : at + size] for at in range(len(word) - size + 1)] or [word]
    return [word if len(word) < 6 else word[: len(word) - len(word) // 3]]


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text) if not text.isascii() else text
    return unicodedata.normalize("NFC", _POINTS.sub("", decomposed)).casefold()
