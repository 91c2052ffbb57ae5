"""What counts as a word where a script puts no blanks between them."""

import re

# Chinese, Japanese, Thai, Lao, Khmer, Myanmar: each character counts as one word.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


def words(text: str) -> list[str]:
    """The words of `text`: runs between blanks, and each character of scripts without blanks."""
    return text.split() if text.isascii() else _WORD.findall(text)
