"""A random chat model in a folder, with a real tokenizer."""

from pathlib import Path

from transformers import AutoTokenizer

from prism_cli.modeling.embedded import smollm2_path
from tests.modeling.tiny import tiny_model


def tiny_chat(folder: Path, shape: str = "llama") -> Path:
    """Write the model into `folder` and return the folder."""
    tiny_model(shape, vocabulary=49_152).save_pretrained(folder)
    AutoTokenizer.from_pretrained(smollm2_path()).save_pretrained(folder)
    return folder
