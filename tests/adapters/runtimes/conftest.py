"""A real tokenizer for the runtimes."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from prism_cli.modeling.embedded import smollm2_path


@pytest.fixture(scope="module")
def tokenizer(model_cache: Path) -> PreTrainedTokenizerBase:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(model_cache))
        loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(smollm2_path())
    return loaded
