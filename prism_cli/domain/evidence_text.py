"""Whether a text can be evidence: it must tell something of its document.

A model that has no evidence to give still fills the tags: "No;", "N/A", "None.", an answer to
another question. Such a text has no word with meaning in common with the document.
"""

import re
import unicodedata

from prism_cli.domain.query_words import LANGUAGES
from prism_cli.domain.words import UNSPACED

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
_EMPTY = _ANSWERS.union(*(language.dropped for language in LANGUAGES.values()))
_UNSPACED_ANSWERS = re.compile(
    "不相关|不相關|相关|相關|没有|沒有|信息|文档|文檔|はい|いいえ|なし|無し|関連|情報|文書|ใช่|ไม่ใช่|ไม่มี|ไม่"
)


def tells_of(evidence: str, document: str) -> bool:
    """Whether `evidence` says something that stands in `document`.

    One word is enough: a number, or a word of two letters and more that is not one of grammar (the,
    is) or of an answer alone (yes, none, irrelevant); its ending may differ. In scripts without
    blanks two characters in a row.
    """
    source = ""
    for run in _RUN.findall(_folded(evidence)):
        for part in _parts(run):
            source = source or _folded(document)
            if part in source:
                return True
    return False


def says_something(text: str) -> bool:
    """Whether a text has a word with meaning: it is more than "N/A" or "The document does not
    contain relevant information."."""
    return any(map(_parts, _RUN.findall(_folded(text))))


def _parts(run: str) -> list[str]:
    """What of a run of characters must stand in the document, any one of it."""
    if re.match(f"[{UNSPACED}]", run):
        pieces = _UNSPACED_ANSWERS.split(run)
        return [one[at : at + 2] for one in pieces for at in range(len(one) - 1)]
    word = run.strip("".join({one for one in run if unicodedata.category(one)[0] in "PSZC"}))
    if word in _EMPTY or (len(word) < 2 and not word.isdigit()):
        return []
    return [word if len(word) < 6 else word[: len(word) - len(word) // 3]]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
