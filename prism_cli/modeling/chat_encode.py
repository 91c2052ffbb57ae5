"""Encode chat prompts by the model's own template; texts can never produce control tokens.

The template is rendered around two placeholders, split at them, and searched for control tokens.
Everything between two control tokens, texts included, is encoded by a tokenizer without them.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.encode import EncodedPrompt, fast_backend
from prism_cli.modeling.first_tokens import bare_tokenizer, beginning, tokenizer_digest

_SYSTEM, _USER = "\ue000system\ue001", "\ue000user\ue001"


class ChatEncoder:
    """Encodes a system text and a user text.

    If the template takes no system text, it is put before the user's.

    Args:
        tokenizer: a fast tokenizer with a chat template.

    Attributes:
        fingerprint: all that decides the ids of a prompt: template and tokenizer.
        control_ids: ids that no text can produce.

    Raises:
        ModelError: the tokenizer is not fast, has no template, or one that omits the user's text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        name = tokenizer.name_or_path
        backend = fast_backend(tokenizer, f"model {name}")
        if not tokenizer.chat_template:
            raise ModelError(
                f"model {name}: its tokenizer has no chat template, so it cannot be asked as a "
                "chat model; choose one that was trained to chat (an instruct model)"
            )
        self._plain = bare_tokenizer(backend, keep_added=False)
        added = {token.content: id_ for id_, token in backend.get_added_tokens_decoder().items()}
        self.control_ids = frozenset(added.values())
        self._added = added
        longest_first = sorted(added, key=len, reverse=True)
        self._controls = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        self._before, _, self._after = _rendered(tokenizer).rpartition(_USER)
        self._takes_system = _SYSTEM in self._before
        template = sha256(str(tokenizer.chat_template).encode()).hexdigest()
        digest = tokenizer_digest(bare_tokenizer(backend, keep_added=True))
        self.fingerprint = f"{template[:16]} {digest}"
        self._ids_before = lru_cache(maxsize=4)(self._encode_before)

    def encode(self, system: str, user: str) -> EncodedPrompt:
        """Encode the prompt up to the model's answer; the prefix ends before the user's turn.

        Raises:
            RowError: a text that this tokenizer can only encode as a control token.
        """
        if not self._takes_system:
            system, user = "", f"{system}\n\n{user}"
        prefix, open_text = self._ids_before(system)
        ids, rest = self._encoded([(open_text + user, False), (self._after, True)])
        return EncodedPrompt(prefix, ids + self._of_text(rest), truncated=False)

    def token_ends(self, text: str, limit: int) -> list[int]:
        """Return the end offsets (characters) of the first `limit` tokens of a text."""
        offsets = self._plain.encode(beginning(self._plain, text, limit)).offsets
        return [end for _, end in offsets[:limit]]

    def single(self, word: str) -> int | None:
        """Return the id of a word that is one token; None if it is several."""
        ids = self._plain.encode(word).ids
        return ids[0] if len(ids) == 1 else None

    def _encode_before(self, system: str) -> tuple[list[int], str]:
        head, mark, tail = self._before.partition(_SYSTEM)
        parts = [(head, True)]
        if mark:
            parts += [(system, False), (tail, True)]
        return self._encoded(parts)

    def _encoded(self, parts: list[tuple[str, bool]]) -> tuple[list[int], str]:
        """Return the ids up to the last control token, and the text behind it.

        Args:
            parts: (text, True if it is the template's).
        """
        ids: list[int] = []
        text = ""
        for part, is_template in parts:
            if not is_template:
                text += part
                continue
            first, *others = self._controls.split(part)
            text += first
            for control, following in zip(others[::2], others[1::2], strict=True):
                ids += [*self._of_text(text), self._added[control]]
                text = following
        return ids, text

    def _of_text(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text).ids if text else []
        if not self.control_ids.isdisjoint(ids):
            raise RowError(
                "text", "holds text that this tokenizer can only encode as a control token"
            )
        return ids


def _rendered(tokenizer: Any) -> str:
    """Render the template around the two placeholders.

    Raises:
        ModelError: it fails, or omits the user's text.
    """
    user = {"role": "user", "content": _USER}
    reason = "it omits the user's text"
    for messages in ([{"role": "system", "content": _SYSTEM}, user], [user]):
        try:
            text = str(
                tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            )
        except TemplateError as error:
            reason = str(error)
            continue
        if text.count(_USER) == 1 and text.count(_SYSTEM) == len(messages) - 1:
            return text
    raise ModelError(f"model {tokenizer.name_or_path}: its chat template cannot be used: {reason}")
