"""The first tokens of a long text, without tokenizing what is cut away.

A tokenizer works on words: each is a function of its own characters and of a few behind it. So the
first tokens of a beginning of a text are those of the whole text where enough words follow them in
that beginning. Where a text has no word borders (one endless word), the first tokens are taken once
a beginning twice as long gives the same.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Encoding, Tokenizer

_CHARACTERS = 6
"""Characters a token to try first; more than most texts have."""
_WORDS_BEHIND = 3
_CHARACTERS_BEHIND = 256
"""What must follow a token before the end of the beginning; longer than any added token."""

_ENDLESS = 1 << 24
"""Tokens that no model reads; transformers says so by larger numbers."""


def leading_ids(tokenizer: Tokenizer, texts: Sequence[str], limit: int) -> list[list[int]]:
    """The first `limit` ids of each text, as tokenizing it whole would give them.

    Args:
        tokenizer: that adds, cuts and pads nothing (`bare_tokenizer`).

    Raises:
        TypeError: a text that is no Unicode.
    """
    size = _first_size(limit)
    if all(len(text) <= size for text in texts):
        return [one.ids[:limit] for one in tokenizer.encode_batch_fast(list(texts))]
    short = [text for text in texts if len(text) <= size]
    whole = iter(tokenizer.encode_batch_fast(short))
    return [
        next(whole).ids[:limit] if len(text) <= size else _leading(tokenizer, text, limit)[0]
        for text in texts
    ]


def beginning(tokenizer: Tokenizer, text: str, limit: int) -> str:
    """`text`, or a beginning of it that has the same first `limit` tokens.

    Args:
        tokenizer: as `leading_ids` takes it.
    """
    return text if len(text) <= _first_size(limit) else _leading(tokenizer, text, limit)[1]


class TextTruncator:
    """Cuts texts to what a sentence-transformers model reads of them, so that it tokenizes no more.

    Args:
        tokenizer: a model's own; one that is not fast cuts nothing.
        limit: tokens that the model reads; None where it reads all.
    """

    def __init__(self, tokenizer: Any, limit: float | None) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._tokenizer: Tokenizer | None = None
        if isinstance(backend, Tokenizer) and limit is not None and limit < _ENDLESS:
            self._tokenizer, self._limit = bare_tokenizer(backend, keep_added=True), int(limit)

    def of(self, texts: Iterable[str], least: int = 0) -> list[str]:
        """Each text, or a beginning of it with the same tokens as far as the model reads.

        Args:
            least: tokens that must be kept of a text that has them.
        """
        if self._tokenizer is None:
            return list(texts)
        limit = max(self._limit, least)
        found = []
        for text in texts:
            blanks = len(text) - len(text.lstrip())  # some models strip them first
            found.append(text[:blanks] + beginning(self._tokenizer, text[blanks:], limit))
        return found


def bare_tokenizer(backend: Tokenizer, *, keep_added: bool) -> Tokenizer:
    """A copy that adds, cuts and pads nothing; without added tokens where not kept, so that no
    text can produce one."""
    state = json.loads(backend.to_str())
    state.update(post_processor=None, truncation=None, padding=None)
    if not keep_added:
        state["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(state))


def _first_size(limit: int) -> int:
    return limit * _CHARACTERS + 2 * _CHARACTERS_BEHIND


def _leading(tokenizer: Tokenizer, text: str, limit: int) -> tuple[list[int], str]:
    """At most `limit` ids, and a beginning of `text` that has them."""
    size = _first_size(limit)
    before: list[int] | None = None
    while size < len(text):
        part = _whole_characters(text[:size])
        encoding = tokenizer.encode(part, add_special_tokens=False)
        ids = encoding.ids[:limit]
        far = len(ids) == limit and encoding.offsets[limit - 1][1] + _CHARACTERS_BEHIND < len(part)
        if far and (ids == before or _words_follow(encoding, limit)):
            return ids, part
        before = ids if far else None
        size *= 2
    return tokenizer.encode(text, add_special_tokens=False).ids[:limit], text


def _words_follow(encoding: Encoding, limit: int) -> bool:
    last, end = encoding.word_ids[limit - 1], encoding.word_ids[-1]
    return last is not None and end is not None and last + _WORDS_BEHIND < end


def _whole_characters(part: str) -> str:
    """Without blanks and combining marks at its end: what they become depends on what follows."""
    end = len(part)
    while end and (part[end - 1].isspace() or unicodedata.combining(part[end - 1])):
        end -= 1
    return part[:end]
