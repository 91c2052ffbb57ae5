"""Cut texts at token boundaries of a model's tokenizer."""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from prism_cli.modeling.embedded import smollm2_tokenizer
from prism_cli.modeling.encode import fast_backend
from prism_cli.modeling.first_tokens import bare_tokenizer, leading_ids
from prism_cli.modeling.loading import load_tokenizer
from prism_cli.modeling.model_folder import resolve_model
from prism_cli.modeling.silence_warnings import silence_transformers

_FILE = "tokenizer.json"
_CHARACTERS = 8
"""Characters per token tried first, so that only a part of a huge text is tokenized."""


class TokenizerCutter:
    """Counts tokens and cuts texts; `<|im_end|>` in a text is ordinary text.

    Args:
        spec: a model spec, or a folder that holds only a tokenizer; no weights are read or fetched.

    Attributes:
        name: the tokenizer's name in the summary.
        file: the tokenizer.json; None if a package contains it.

    Raises:
        ModelError: no such model, or no fast tokenizer.
    """

    def __init__(self, spec: str) -> None:
        self.name = f"the tokenizer of {spec}"
        tokenizer, self.file = _load(spec)
        backend = fast_backend(tokenizer, f"--tokenizer {spec}")
        self._tokenizer = bare_tokenizer(backend, keep_added=False)

    def bound(self, text: str) -> int:
        """Return an upper bound of the tokens, UTF-8 bytes plus 1: a token is at least one byte."""
        return len(text.encode("utf-8", "surrogatepass")) + 1

    def count(self, text: str, most: int | None = None) -> int:
        """Return the number of tokens of `text`; with `most`, at most `most + 1`."""
        if most is not None:
            return len(leading_ids(self._tokenizer, [text], most + 1)[0])
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def cut(self, text: str, limit: int) -> str:
        """Return `text`, or a prefix of at most `limit` tokens that ends at a token boundary.

        Time is linear in the length of the prefix. Trailing whitespace is removed.
        """
        size = limit * _CHARACTERS + 1
        while True:
            part = text[:size]
            spans = self._tokenizer.encode(part, add_special_tokens=False).offsets
            if len(spans) > limit:
                break
            if len(part) == len(text):
                return text
            size *= 2
        at = limit
        while at > 0:
            prefix = text[: spans[at][0]].rstrip()
            # Without its whitespace, or half of a character, a token may become several tokens.
            over = self.count(prefix) - limit
            if over <= 0:
                return prefix
            at -= over
        return ""


def _load(spec: str) -> tuple[PreTrainedTokenizerBase, Path | None]:
    """Return the tokenizer of `spec` and its tokenizer.json, None if a package contains it."""
    with silence_transformers():
        if spec == "hf:smollm2":
            with redirect_stderr(StringIO()):  # progress bars of the GGUF reader
                return smollm2_tokenizer(), None
        folder = Path(spec.removeprefix("hf:")).expanduser()
        if not (folder / _FILE).is_file():
            folder = resolve_model(spec, weights=False).path
        return load_tokenizer(folder), folder / _FILE
