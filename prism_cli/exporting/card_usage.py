"""The part of a card that shows how each tool uses the folder."""

from prism_cli.exporting.layout import MINIMUM_SENTENCE_TRANSFORMERS
from prism_cli.exporting.markdown import block
from prism_cli.exporting.serving import serve_line, write_line
from prism_cli.modeling.encode import PromptEncoder

_CROSS_ENCODER = """\
from sentence_transformers import CrossEncoder

model = CrossEncoder(MODEL)
pairs = [("What is the capital of France?", "Paris is the capital of France.")]
print(model.predict(pairs))  # sigmoid(l_yes - l_no), from 0 to 1"""
_TRANSFORMERS = """\
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL)
messages = [
    {{"role": "query", "content": "What is the capital of France?"}},
    {{"role": "document", "content": "Paris is the capital of France."}},
]
inputs = tokenizer.apply_chat_template(
    messages, tokenize=True, return_dict=True, return_tensors="pt"
)
with torch.inference_mode():
    logits = model(**inputs, logits_to_keep=1).logits[0, -1]
    print(torch.sigmoid(logits[{yes}] - logits[{no}]))  # the score
    # The text: verdict, contribution, evidence.
    text = model.generate(**inputs, max_new_tokens=512)
print(tokenizer.decode(text[0, inputs["input_ids"].shape[1] :]))"""


def usage_part(architecture: str, max_tokens: int, encoder: PromptEncoder) -> str:
    """`MODEL` stands for the folder or its name on the hub."""
    transformers = _TRANSFORMERS.format(yes=encoder.yes_id, no=encoder.no_id)
    return "\n\n".join(
        (
            "## Use",
            "`MODEL` stands for this folder's path, or for its name on the hub.",
            "**prism**: scores, verdicts and texts, rows in and rows out.",
            block("prism rerank pairs.jsonl --model MODEL", "sh"),
            f"**sentence-transformers** ({MINIMUM_SENTENCE_TRANSFORMERS} or later, which keeps the "
            "prompt's end where a document is cut):",
            block(_CROSS_ENCODER, "python"),
            "**transformers**:",
            block(transformers, "python"),
            "**vLLM** (not run for this card; `MODEL` must be a local folder here, for its chat "
            "template). Scores, by `/score` and `/rerank`:",
            block(serve_line(architecture, "MODEL", max_tokens), "sh"),
            "Texts, by `/v1/chat/completions` with two messages of the roles `query` and "
            "`document` and temperature 0:",
            block(write_line("MODEL", max_tokens), "sh"),
            *_newer(architecture),
        )
    )


def _newer(architecture: str) -> tuple[str, ...]:
    if not architecture.startswith("Qwen3_5"):
        return ()
    return ("Text-only Qwen3.5 needs a vLLM of August 2026 or later.",)
