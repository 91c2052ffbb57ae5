"""A chat prompt as token ids by the model's own template; texts can never speak as the template.

The template is rendered around two marks, cut where they stand, and searched for control tokens;
all between two control tokens, texts included, goes through a tokenizer that knows none of them.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.encode import EncodedPrompt, fast_backend
from prism_cli.modeling.leading import bare_tokenizer, beginning

_SYSTEM, _USER = "\ue000system\ue001", "\ue000user\ue001"


class ChatEncoder:
    """Encodes a system text and a user text. Where a template takes no system text, it stands
    before the user's.

    Args:
        tokenizer: a fast tokenizer with a chat template.

    Attributes:
        fingerprint: changes with the template and the vocabulary's control tokens.
        control_ids: ids that no text can produce.

    Raises:
        ModelError: the tokenizer is of another kind, has no template, or one that leaves out what
            is said.
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
        whole = f"{tokenizer.chat_template}\0{sorted(added.items())}"
        self.fingerprint = sha256(whole.encode()).hexdigest()[:16]
        self._ids_before = lru_cache(maxsize=4)(self._encode_before)

    def encode(self, system: str, user: str) -> EncodedPrompt:
        """The prompt up to the model's answer; what comes before the user's turn is the prefix.

        Raises:
            RowError: a text that this tokenizer can only write as a control token.
        """
        if not self._takes_system:
            system, user = "", f"{system}\n\n{user}"
        prefix, open_text = self._ids_before(system)
        ids, rest = self._encoded([(open_text + user, False), (self._after, True)])
        return EncodedPrompt(prefix, ids + self._of_text(rest), truncated=False)

    def token_ends(self, text: str, limit: int) -> list[int]:
        """Where each of the first `limit` tokens of a text ends in it, in characters."""
        offsets = self._plain.encode(beginning(self._plain, text, limit)).offsets
        return [end for _, end in offsets[:limit]]

    def single(self, word: str) -> int | None:
        """The id of a word that is one token; None where it is several."""
        ids = self._plain.encode(word).ids
        return ids[0] if len(ids) == 1 else None

    def _encode_before(self, system: str) -> tuple[list[int], str]:
        head, mark, tail = self._before.partition(_SYSTEM)
        parts = [(head, True)]
        if mark:
            parts += [(system, False), (tail, True)]
        return self._encoded(parts)

    def _encoded(self, parts: list[tuple[str, bool]]) -> tuple[list[int], str]:
        """Ids up to the last control token, and the text behind it.

        Args:
            parts: (text, whether the template wrote it).
        """
        ids: list[int] = []
        text = ""
        for part, is_template in parts:
            if not is_template:
                text += part
                continue
            first, *others = self._controls.split(part)
            text += first
            for control, follows in zip(others[::2], others[1::2], strict=True):
                ids += [*self._of_text(text), self._added[control]]
                text = follows
        return ids, text

    def _of_text(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text).ids if text else []
        if not self.control_ids.isdisjoint(ids):
            raise RowError(
                "text", "holds text that this tokenizer can only write as a control token"
            )
        return ids


def _rendered(tokenizer: Any) -> str:
    """The template around the two marks.

    Raises:
        ModelError: it fails, or leaves out the user's text.
    """
    user = {"role": "user", "content": _USER}
    why = "it leaves out what the user says"
    for messages in ([{"role": "system", "content": _SYSTEM}, user], [user]):
        try:
            text = str(
                tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            )
        except TemplateError as error:
            why = str(error)
            continue
        if text.count(_USER) == 1 and text.count(_SYSTEM) == len(messages) - 1:
            return text
    raise ModelError(f"model {tokenizer.name_or_path}: its chat template does not serve: {why}")
