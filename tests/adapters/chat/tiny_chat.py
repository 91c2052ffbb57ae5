"""A random chat model in a folder, with the small tokenizer."""

import shutil
from pathlib import Path

from tests.modeling.cut_tokenizer import VOCABULARY
from tests.modeling.tiny import tiny_model


def tiny_chat(folder: Path, small_tokenizer: Path, shape: str = "llama") -> Path:
    """Write the model into `folder` and return the folder."""
    tiny_model(shape, vocabulary=VOCABULARY).save_pretrained(folder)
    shutil.copytree(small_tokenizer, folder, dirs_exist_ok=True)
    return folder
