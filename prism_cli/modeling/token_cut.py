"""Text cut at the token borders of a model's own tokenizer."""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from prism_cli.modeling.embedded import smollm2_tokenizer
from prism_cli.modeling.encode import fast_backend
from prism_cli.modeling.leading import bare_tokenizer, leading_ids
from prism_cli.modeling.loading import load_tokenizer
from prism_cli.modeling.model_path import model_path
from prism_cli.modeling.silence_warnings import silence_transformers

_FILE = "tokenizer.json"
_CHARACTERS = 8
"""Characters a token to try first, so that of a huge text only a part is tokenized."""


class TokenizerCutter:
    """Counts and cuts by a tokenizer; a text's own `<|im_end|>` is text.

    Args:
        spec: a model spec, or a folder with a tokenizer alone; no weights are read or fetched.

    Attributes:
        name: `spec`'s tokenizer, for the summary.
        file: the tokenizer.json that decides; None where the package holds it.

    Raises:
        ModelError: no such model, or no fast tokenizer.
    """

    def __init__(self, spec: str) -> None:
        self.name = f"the tokenizer of {spec}"
        tokenizer, self.file = _load(spec)
        backend = fast_backend(tokenizer, f"--tokenizer {spec}")
        self._tokenizer = bare_tokenizer(backend, keep_added=False)

    def bound(self, text: str) -> int:
        """UTF-8 bytes and one: a token stands for one byte at the least."""
        return len(text.encode("utf-8", "surrogatepass")) + 1

    def count(self, text: str, most: int | None = None) -> int:
        """Tokens of `text`; with `most`, not more than one above it."""
        if most is not None:
            return len(leading_ids(self._tokenizer, [text], most + 1)[0])
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def cut(self, text: str, limit: int) -> str:
        """`text`, or a prefix at a token border that has at most `limit` tokens by itself.

        Linear in the length of that prefix. Blanks at its end are left out.
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
            kept = text[: spans[at][0]].rstrip()
            # Without its last blank, or the half of a character, a token may be several.
            over = self.count(kept) - limit
            if over <= 0:
                return kept
            at -= over
        return ""


def _load(spec: str) -> tuple[PreTrainedTokenizerBase, Path | None]:
    """The tokenizer of `spec` and the file that decides it, None where a package holds it."""
    with silence_transformers():
        if spec == "hf:smollm2":
            with redirect_stderr(StringIO()):  # its reader's bars
                return smollm2_tokenizer(), None
        folder = Path(spec.removeprefix("hf:")).expanduser()
        if not (folder / _FILE).is_file():
            folder = model_path(spec, weights=False)
        return load_tokenizer(folder), folder / _FILE
