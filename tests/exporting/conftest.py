"""Tiny models of the families' shapes, exported once a session."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, Qwen3_5Config, Qwen3_5ForConditionalGeneration

from prism_cli.modeling.silence_warnings import silence_transformers
from tests.door import prism
from tests.modeling.cut_tokenizer import VOCABULARY
from tests.modeling.tiny import tiny_model

SEES = "qwen3_5_sees"
_VISION = {
    "depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 48,
    "patch_size": 4, "num_position_embeddings": 16,
}  # fmt: skip

Exported = tuple[Path, dict[str, Any]]
"""The folder, and what --json said."""


def write_model(folder: Path, shape: str, tokenizer_folder: Path) -> Path:
    """Write a tiny model and its tokenizer, with think tokens.

    Args:
        shape: as in `tiny_model`, or SEES: Qwen3.5's conditional-generation class.
    """
    text: Any = tiny_model(shape.removesuffix("_sees"), VOCABULARY + 2)
    model = text
    if shape == SEES:
        config = Qwen3_5Config(
            text_config=text.config.to_dict(), vision_config=_VISION, tie_word_embeddings=True
        )
        model = Qwen3_5ForConditionalGeneration(config)
        model.model.language_model.load_state_dict(text.model.state_dict())
    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.add_tokens(["<think>", "</think>"])
    with silence_transformers():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def model(shelf: Path, small_tokenizer: Path) -> Callable[[str], Path]:
    """A shape's model folder."""

    def find(shape: str) -> Path:
        folder = shelf / shape
        return folder if folder.exists() else write_model(folder, shape, small_tokenizer)

    return find


@pytest.fixture
def exported(shelf: Path, model: Callable[[str], Path]) -> Callable[[str], Exported]:
    """A shape's export."""

    def find(shape: str) -> Exported:
        folder, said = shelf / f"{shape}-export", shelf / f"{shape}.json"
        if not said.exists():
            done = prism("export", model(shape), "-o", folder, "--json")
            assert done.returncode == 0, done.stderr
            said.write_text(done.stdout)
        return folder, json.loads(said.read_text())

    return find
