"""Index terms of a text: English stems, and character bigrams of scripts without spaces."""

import re

import Stemmer
from bm25s.stopwords import STOPWORDS_EN

_CACHED_WORDS = 500_000
_WORD = re.compile(r"(?u)\b\w\w+\b")
_UNSPACED = (  # scripts written without spaces between words
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
)
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")


class WordTokens:
    """Splits text into index terms.

    Terms are English (Snowball) stems of lower-cased words of at least two characters, without
    English stop words. Runs of a script without spaces (Chinese, Japanese, Thai, Lao, Khmer,
    Burmese) become overlapping character bigrams instead, or the character itself if alone.
    """

    def __init__(self) -> None:
        self._stems = _Stems()

    def __call__(self, text: str) -> list[str]:
        """Return the terms of `text`; their order is unspecified if scripts mix."""
        text = text.lower()
        if text.isascii():
            return self._words(text)
        terms: list[str] = []
        for run in _UNSPACED_RUN.findall(text):
            terms += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
        return terms + self._words(_UNSPACED_RUN.sub(" ", text))

    def _words(self, text: str) -> list[str]:
        stems = self._stems
        return [stem for word in _WORD.findall(text) if (stem := stems[word])]


class _Stems(dict[str, str]):
    """Cache of word -> stem, "" for a stop word; holds at most _CACHED_WORDS words."""

    def __init__(self) -> None:
        self._stem = Stemmer.Stemmer("english", 0).stemWord  # 0: no cache of its own
        self._stops = frozenset(STOPWORDS_EN)

    def __missing__(self, word: str) -> str:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        stem: str = "" if word in self._stops else self._stem(word)
        self[word] = stem
        return stem
