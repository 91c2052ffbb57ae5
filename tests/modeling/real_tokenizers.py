"""Small tokenizers of the model families, with their pre-tokenizers, normalizers and tokens."""

import json
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    Qwen3_5Tokenizer,
)

from prism_cli.modeling.embedded import smollm2_path
from tests.mini import MINI

CORPUS = MINI / "corpus.jsonl"
CHAT = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPECIAL = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<tts_pad>"]
# Added tokens that are not special: split off like control tokens, but decoded as text.
MERELY_ADDED = [
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
]  # fmt: skip
NORMALIZED = "<Key>"
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KINDS = ("smollm2", "qwen3", "qwen3_5", "llama3")


def real_texts() -> list[str]:
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def tokenizer_of(kind: str) -> PreTrainedTokenizerBase:
    """Return SmolLM2's with added tokens, or one of 1,500 tokens with every byte."""
    if kind == "smollm2":
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(smollm2_path())
    elif kind == "llama3":
        tokenizer = _llama_3()
    else:
        vocabulary, merges = _trained_bpe()
        tokenizer_class = {"qwen3": Qwen2Tokenizer, "qwen3_5": Qwen3_5Tokenizer}[kind]
        tokenizer = tokenizer_class(
            vocab=dict(vocabulary), merges=list(merges), eos_token="<|im_end|>"
        )
    tokens = [AddedToken(text, special=True, normalized=False) for text in [*CHAT, *SPECIAL]]
    tokens += [AddedToken(text, special=False, normalized=False) for text in MERELY_ADDED]
    # Like a plain string given to `add_tokens`: matched after normalization.
    tokens.append(AddedToken(NORMALIZED, special=False, normalized=True))
    tokenizer.add_tokens(tokens)
    return tokenizer


@cache
def _trained_bpe() -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, str], ...]]:
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = BpeTrainer(
        vocab_size=1500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*real_texts()[:60], *["yes\nno\n"] * 2000], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return tuple(model["vocab"].items()), tuple(tuple(pair) for pair in model["merges"])


def _llama_3() -> PreTrainedTokenizerBase:
    vocabulary, merges = _trained_bpe()
    tokenizer = Tokenizer(models.BPE(dict(vocabulary), list(merges), ignore_merges=True))
    split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|begin_of_text|>"])
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", begin)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|im_end|>"
    )


def sentencepiece_like() -> PreTrainedTokenizerBase:
    """Return a tokenizer that writes spaces as ▁, prepends one, and bytes as <0x0A>."""
    letters = [chr(code) for code in range(33, 127)]
    merges = [("n", "o"), ("y", "e"), ("ye", "s"), ("▁", "no"), ("▁", "yes")]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters]
    pieces += [left + right for left, right in merges]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
