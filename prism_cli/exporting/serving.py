"""The summary of an export, with command lines that serve it with vLLM, which is not needed.

Source: vLLM's documentation of score and rerank models, its online conversion of causal models
(classifier_from_token, method), and its text-only Qwen3.5 classes of July 2026.
"""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def serve_line(architecture: str, folder: str, max_tokens: int) -> str:
    """Return the command for /score and /rerank: sigmoid(l_yes - l_no) of a query and a document.

    It names the folder's chat template, because vLLM does not read it by itself.

    Args:
        architecture: the …ForCausalLM class in config.json.
    """
    overrides = {
        "architectures": [architecture.replace("ForCausalLM", "ForSequenceClassification")],
        "classifier_from_token": ["no", "yes"],
        "method": "from_2_way_softmax",
    }
    return _line(folder, max_tokens, "--runner", "pooling", "--hf_overrides", json.dumps(overrides))


def write_line(folder: str, max_tokens: int) -> str:
    """Return the command for /v1/chat/completions: verdict, contribution and evidence as text."""
    return _line(folder, max_tokens)


def export_summary(output: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of `prism export --json`: the folder, its figures and command lines."""
    figures = manifest["figures"]
    folder, max_tokens = str(output), figures["max_tokens"]
    return {
        "output": folder,
        "config": manifest["config"],
        **figures,
        "vllm": {
            "score": serve_line(figures["architecture"], folder, max_tokens),
            "text": write_line(folder, max_tokens),
        },
    }


def _line(folder: str, max_tokens: int, *more: str) -> str:
    template = f"{folder}/chat_template.jinja"
    words = ("vllm", "serve", folder, *more, "--chat-template", template)
    return shlex.join([*words, "--max-model-len", str(max_tokens)])
