"""Files for sentence-transformers beside a causal model, in the layout of the released models
(modules.json, 1_LogitScore)."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from prism_cli.domain.chat_template import chat_template
from prism_cli.modeling.encode import PromptEncoder

MINIMUM_SENTENCE_TRANSFORMERS = "5.6.0"
"""The first that keeps the end of the prompt of a truncated document (5.4 and 5.5 lose it)."""
_LOGIT_SCORE = "1_LogitScore"


def save_tokenizer(encoder: PromptEncoder, folder: Path) -> None:
    """Save the tokenizer with the profile as its chat template, and left padding.

    Other tools truncate prompts to the encoder's maximum.
    """
    tokenizer = encoder.tokenizer
    tokenizer.model_max_length = encoder.max_tokens
    tokenizer.padding_side = "left"
    tokenizer.chat_template = chat_template(encoder.profile)
    for name in ("is_local", "local_files_only", "name_or_path"):  # of this machine
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)


def add_earlier_keys(folder: Path) -> None:
    """Add what transformers 4, which sentence-transformers and vLLM may run on, reads in the saved
    settings: without `rope_theta` and `partial_rotary_factor` it takes other positions, and so
    other scores, silently."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        own = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
        config |= own
        if rope.get("rope_type", "default") != "default":
            config["rope_scaling"] = {key: rope[key] for key in rope.keys() - own.keys()}
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_modules(encoder: PromptEncoder, folder: Path) -> None:
    """Write the files of a CrossEncoder whose score is sigmoid(l_yes - l_no)."""
    modules = (
        "sentence_transformers.base.modules.transformer.Transformer",
        "sentence_transformers.cross_encoder.modules.logit_score.LogitScore",
    )
    forward = {"method": "forward", "method_output_name": "logits"}
    (folder / _LOGIT_SCORE).mkdir()
    contents: dict[str, Any] = {
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": kind}
            for number, (path, kind) in enumerate(zip(("", _LOGIT_SCORE), modules, strict=True))
        ],
        f"{_LOGIT_SCORE}/config.json": {
            "true_token_id": encoder.yes_id,
            "false_token_id": encoder.no_id,
            "module_input_name": "causal_logits",
        },
        "sentence_bert_config.json": {
            "transformer_task": "text-generation",
            "modality_config": {"text": forward, "message": forward | {"format": "flat"}},
            "module_output_name": "causal_logits",
        },
        "config_sentence_transformers.json": {
            "__version__": {
                "sentence_transformers": MINIMUM_SENTENCE_TRANSFORMERS,
                "transformers": transformers.__version__,
                "pytorch": torch.__version__,
            },
            "model_type": "CrossEncoder",
            "activation_fn": "torch.nn.modules.activation.Sigmoid",
            "prompts": {},
            "default_prompt_name": None,
        },
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
