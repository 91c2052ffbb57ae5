"""jina-embeddings-v3 in transformers' own class, without code from the model's repository.

Files are laid out as in JINA_V3_NATIVE: the base, and a folder per task with a LoRA adapter.
Queries and documents have their own adapter and prompt; vectors are means over tokens.
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prism_cli.adapters.teachers.st_files import JINA_V3_NATIVE
from prism_cli.errors import ModelError
from prism_cli.modeling.first_tokens import TextTruncator

Vectors = np.ndarray[Any, np.dtype[np.float32]]

QUERY, DOCUMENT = "retrieval_query", "retrieval_passage"
PROMPTS = {  # from the model's training; also in its card and in mteb
    QUERY: "Represent the query for retrieving evidence documents: ",
    DOCUMENT: "Represent the document for retrieval: ",
}
MAX_TOKENS = 8192


class JinaV3:
    """The used part of the sentence-transformers interface; switches adapters between queries and
    documents.

    Args:
        path: folder of config.json, weights, tokenizer, and a folder per adapter.
        dtype: dtype of the weights.

    Raises:
        ModelError: an adapter or a weight is missing.
    """

    similarity_fn_name = "cosine"

    def __init__(self, spec: str, path: Path, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoTokenizer, JinaEmbeddingsV3Model

        for task in PROMPTS:
            if not (path / task / "adapter_config.json").is_file():
                raise ModelError(
                    f"{spec}: no {task}/adapter_config.json in {path}; without its adapters for "
                    f"retrieval it is another model. {JINA_V3_NATIVE} has them"
                )
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        model: Any = JinaEmbeddingsV3Model
        self._model, report = model.from_pretrained(
            path,
            dtype=dtype,
            use_safetensors=True,
            add_pooling_layer=False,
            output_loading_info=True,
        )
        _check_complete(spec, path, report["missing_keys"], ())
        with warnings.catch_warnings():
            # peft warns about the second adapter, which is intended.
            warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
            for task in PROMPTS:
                result = self._model.load_adapter(str(path / task), adapter_name=task)
                missing = {name for name in result.missing_keys if f".{task}" in name}
                _check_complete(spec, path / task, missing, result.unexpected_keys)
        self._model.to(device=device, dtype=dtype).requires_grad_(False)
        self._longest = min(MAX_TOKENS, self._model.config.max_position_embeddings)
        self._truncator = TextTruncator(self._tokenizer, self._longest)

    def encode_query(self, texts: Sequence[str], **_: Any) -> Vectors:
        """Encode queries in one batch; return float32 [texts, width]."""
        return self._encode(QUERY, texts)

    def encode_document(self, texts: Sequence[str], **_: Any) -> Vectors:
        """Encode documents in one batch; return float32 [texts, width]."""
        return self._encode(DOCUMENT, texts)

    def train(self, mode: bool) -> None:
        """Set training or evaluation mode, as torch's `Module.train`."""
        self._model.train(mode)

    @torch.inference_mode()
    def _encode(self, task: str, texts: Sequence[str]) -> Vectors:
        self._model.set_adapter(task)
        self._model.train(False)
        inputs = self._tokenizer(
            [PROMPTS[task] + text for text in self._truncator.of(texts)],
            padding=True,
            truncation=True,
            max_length=self._longest,
            return_tensors="pt",
        ).to(self._model.device)
        hidden = self._model(**inputs).last_hidden_state.float()
        weights = inputs["attention_mask"][..., None].float()
        means: Vectors = ((hidden * weights).sum(1) / weights.sum(1)).cpu().numpy()
        return means


def _check_complete(
    spec: str, path: Path, missing: Iterable[str], unexpected: Iterable[str]
) -> None:
    names = sorted(missing) + sorted(unexpected)
    if names:
        raise ModelError(
            f"{spec}: {path} does not fit transformers' own class: {len(names)} weights are "
            f"missing or unexpected, such as {names[0]}; {JINA_V3_NATIVE} fits"
        )
