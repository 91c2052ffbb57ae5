"""Folders in the layout of published rerankers, with sentence-transformers' files."""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from tests.modeling.real_tokenizers import tokenizer_of

VOCABULARY = 1600
_PICK = '{{ messages | selectattr("role", "eq", "%s") | map(attribute="content") | first%s }}'
# Literal, not derived from our profiles. The last part is an expression because Jinja drops a
# newline at the end of a template.
PRISM_TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    "the Instruct provided. <|im_end|>\n<|im_start|>user\n<Instruct>: Given a query and a "
    "document, judge whether the document is relevant to the query. "
    'Answer "yes" or "no", then provide in '
    "XML:\n1. <contribution>: what the document contributes to the query.\n2. <evidence>: a "
    "self-contained rewrite of relevant content.\n"
    f"<Query>: {_PICK % ('query', '')}\n<Document>: {_PICK % ('document', '')}<|im_end|>\n"
    "<|im_start|>assistant\n{{ '<think>\\n\\n</think>\\n\\n' }}"
)
_TASK = "Given a web search query, retrieve relevant passages that answer the query"
QWEN3_TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: "
    + _PICK
    % ("system", f" | default('{_TASK}', true)")
    + f"\n<Query>: {_PICK % ('query', '')}\n<Document>: {_PICK % ('document', '')}<|im_end|>\n"
    "<|im_start|>assistant\n{% if add_generation_prompt %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)


def released_folder(
    folder: Path,
    model: PreTrainedModel,
    template: str = PRISM_TEMPLATE,
    *,
    tokenizer: str = "qwen3_5",
    task: str | None = None,
) -> Path:
    """Save `model` in the layout of infgrad/Prism-Qwen3.5-Reranker-* and Qwen3-Reranker."""
    saved_tokenizer = tokenizer_of(tokenizer)
    saved_tokenizer.chat_template = template
    saved_tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    base = "sentence_transformers."
    write(
        folder / "modules.json",
        [
            {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": f"{base}base.modules.transformer.Transformer",
            },
            {
                "idx": 1,
                "name": "1",
                "path": "1_LogitScore",
                "type": f"{base}cross_encoder.modules.logit_score.LogitScore",
            },
        ],
    )
    yes, no = saved_tokenizer.convert_tokens_to_ids(["yes", "no"])
    write(
        folder / "1_LogitScore" / "config.json",
        {"true_token_id": yes, "false_token_id": no, "module_input_name": "causal_logits"},
    )
    call = {"method": "forward", "method_output_name": "logits"}
    write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {"text": call, "message": call | {"format": "flat"}},
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
    )
    write(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "5.4.0"},
            "activation_fn": "torch.nn.modules.linear.Identity",
            "default_prompt_name": "task" if task else None,
            "model_type": "CrossEncoder",
            "prompts": {"task": task} if task else {},
        },
    )
    return folder


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
