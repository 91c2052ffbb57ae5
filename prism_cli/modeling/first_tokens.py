"""The first tokens of a long text, without tokenizing the rest.

A tokenizer works on words: the tokens of a word depend on its own characters and a few behind it.
So the first tokens of a part of a text (its beginning) equal those of the whole text if enough
words follow them in that part. If a text has no word boundaries (one endless word), the first
tokens are accepted once a part twice as long gives the same.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from tokenizers import Encoding, Tokenizer

_CHARACTERS = 6
"""Characters per token tried first; more than most texts have."""
_WORDS_BEHIND = 3
_CHARACTERS_BEHIND = 256
"""Characters that must follow a token within the part; longer than any added token."""

_ENDLESS = 1 << 24
"""A limit above any model's; transformers marks "no limit" by larger numbers."""


def leading_ids(tokenizer: Tokenizer, texts: Sequence[str], limit: int) -> list[list[int]]:
    """Return the first `limit` ids of each text, equal to those of the whole text.

    Args:
        tokenizer: a `bare_tokenizer`.

    Raises:
        TypeError: a text that is not Unicode.
    """
    size = _first_size(limit)
    if all(len(text) <= size for text in texts):
        return [encoding.ids[:limit] for encoding in tokenizer.encode_batch_fast(list(texts))]
    short = [text for text in texts if len(text) <= size]
    encodings = iter(tokenizer.encode_batch_fast(short))
    return [
        next(encodings).ids[:limit] if len(text) <= size else _leading(tokenizer, text, limit)[0]
        for text in texts
    ]


def beginning(tokenizer: Tokenizer, text: str, limit: int) -> str:
    """Return `text`, or a beginning of it with the same first `limit` tokens.

    Args:
        tokenizer: a `bare_tokenizer`.
    """
    return text if len(text) <= _first_size(limit) else _leading(tokenizer, text, limit)[1]


class TextTruncator:
    """Truncates texts to the part that a sentence-transformers model reads, to tokenize no more.

    Args:
        tokenizer: the model's; texts are not truncated if it is not fast.
        limit: maximum tokens that the model reads; None if it reads all.
    """

    def __init__(self, tokenizer: Any, limit: float | None) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        self._tokenizer: Tokenizer | None = None
        if isinstance(backend, Tokenizer) and limit is not None and limit < _ENDLESS:
            self._tokenizer, self._limit = bare_tokenizer(backend, keep_added=True), int(limit)

    def of(self, texts: Iterable[str], least: int = 0) -> list[str]:
        """Return each text, or a beginning of it with the same tokens up to the limit.

        Args:
            least: minimum number of tokens to keep of a longer text.
        """
        if self._tokenizer is None:
            return list(texts)
        limit = max(self._limit, least)
        parts = []
        for text in texts:
            blanks = len(text) - len(text.lstrip())  # some models strip them first
            parts.append(text[:blanks] + beginning(self._tokenizer, text[blanks:], limit))
        return parts


def bare_tokenizer(backend: Tokenizer, *, keep_added: bool) -> Tokenizer:
    """Return a copy that adds no special tokens and neither truncates nor pads.

    Args:
        keep_added: keep added tokens; without them no text can produce one.
    """
    state = json.loads(backend.to_str())
    state.update(post_processor=None, truncation=None, padding=None)
    if not keep_added:
        state["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(state))


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Return the word of a fingerprint for all that decides the ids of texts, and their decoding.

    Args:
        tokenizer: a `bare_tokenizer` with its added tokens.
    """
    return f"tokenizer:{sha256(tokenizer.to_str().encode()).hexdigest()[:16]}"


def _first_size(limit: int) -> int:
    return limit * _CHARACTERS + 2 * _CHARACTERS_BEHIND


def _leading(tokenizer: Tokenizer, text: str, limit: int) -> tuple[list[int], str]:
    """Return at most `limit` ids, and a beginning of `text` that has them."""
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
    """Strip trailing whitespace and combining marks: their tokens depend on what follows."""
    end = len(part)
    while end and (part[end - 1].isspace() or unicodedata.combining(part[end - 1])):
        end -= 1
    return part[:end]
