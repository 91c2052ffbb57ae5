"""Random weights in published shapes, their texts, and the work that they do, for gpu_check.

Speed needs no trained weights. Vocabularies of the shapes are the published ones; the tokenizer is
a small one of the same family, whose ids are the first of them.
"""

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    Qwen3_5TextConfig,
    Qwen3Config,
)

from prism_cli.bundled import CORPUS
from prism_cli.domain.prompting import PRISM
from prism_cli.modeling.attention import check_attention
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.linear_kernels import compute_elsewhere_in_torch
from prism_cli.modeling.loading import LoadedModel
from prism_cli.modeling.silence_warnings import silence_transformers
from prism_cli.modeling.varlen_attention import VARLEN, use_varlen
from tests.factories import read_jsonl
from tests.modeling.real_tokenizers import tokenizer_of

T = TypeVar("T")
_DELTA_NET = {
    "linear_num_key_heads": 16, "linear_num_value_heads": 16,
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
}  # fmt: skip
_QWEN3_5 = {
    "vocab_size": 248_320, "num_hidden_layers": 24, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 256, "max_position_embeddings": 32_768, **_DELTA_NET,
}  # fmt: skip
SHAPES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    # Source: config.json of Qwen/Qwen3.5-0.8B and -2B on the hub (text_config; every fourth layer
    # has full attention), of Qwen/Qwen3-4B and HuggingFaceTB/SmolLM2-135M.
    "Qwen3.5-0.8B": (
        Qwen3_5TextConfig,
        {"hidden_size": 1024, "intermediate_size": 3584} | _QWEN3_5,
    ),
    # As many value heads for each key head as Qwen3.5-4B and -9B have.
    "Qwen3.5-0.8B, 32 value heads": (
        Qwen3_5TextConfig,
        {"hidden_size": 1024, "intermediate_size": 3584}
        | _QWEN3_5
        | {"linear_num_value_heads": 32},
    ),
    "Qwen3.5-2B": (
        Qwen3_5TextConfig,
        {"hidden_size": 2048, "intermediate_size": 6144} | _QWEN3_5,
    ),
    "Qwen3-4B": (
        Qwen3Config,
        {
            "vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728,
            "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8,
            "head_dim": 128, "max_position_embeddings": 40_960,
        },
    ),
    "SmolLM2-135M": (
        LlamaConfig,
        {
            "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 8192,
        },
    ),
}  # fmt: skip
_TINY: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.1,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 16, "linear_value_head_dim": 16,
}  # fmt: skip
PEAKS = {
    # Dense bfloat16 TFLOP/s without sparsity, from NVIDIA's data sheets; the first name that a
    # card's name contains counts.
    "GB200": 2500, "B200": 2250, "H200": 989, "GH200": 989, "H100 PCIe": 756, "H100 NVL": 835,
    "H100": 989, "A100": 312, "L40S": 362, "L40": 181, "L4": 121, "A10G": 70, "A10": 125,
    "RTX 4090": 165, "RTX 3090": 71, "RTX 6000 Ada": 364,
}  # fmt: skip


def config_of(
    name: str, *, tiny: bool = False, layers: int | None = None, small: bool = False
) -> Any:
    """Return the config of a shape.

    Args:
        tiny: hidden size 64 and two layers, for a CPU.
        layers: use only so many; in Qwen3.5 every fourth has full attention.
        small: the tokenizer's vocabulary instead of the published one.
    """
    kind, settings = SHAPES[name]
    changed = dict(settings) | {"tie_word_embeddings": True}
    if tiny:
        changed |= {key: value for key, value in _TINY.items() if key in kind.__annotations__}
        if kind is Qwen3_5TextConfig:
            changed["layer_types"] = ["linear_attention", "full_attention"]
    if layers is not None:
        changed["num_hidden_layers"] = layers
    if tiny or small:
        changed["vocab_size"] = len(tokenizer())
    return kind(**changed)


def tokenizer() -> Any:
    """Return a tokenizer of 1,500 tokens with Qwen's control tokens."""
    return tokenizer_of("qwen3_5")


def random_model(config: Any, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Return a causal model in eval mode with seeded random weights, made on `device`."""
    torch.manual_seed(0)
    causal: Any = AutoModelForCausalLM
    with torch.device(device):
        model: PreTrainedModel = causal.from_config(config, dtype=dtype)
    compute_elsewhere_in_torch(sys.modules[type(model).__module__])
    return model.eval().requires_grad_(False)


def loaded_model(
    name: str, device: torch.device, dtype: torch.dtype, *, tiny: bool, attn: str = "sdpa"
) -> LoadedModel:
    """Return random weights of a published shape as `load_model` would return a folder's."""
    model = random_model(config_of(name, tiny=tiny), device, dtype)
    check_attention(attn, device, dtype)
    if attn == VARLEN:
        use_varlen(model)
    return LoadedModel(model, tokenizer(), PRISM, f"random {name}", Path(name))


def save_model(
    config: Any,
    folder: Path,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> str:
    """Save a random model with its tokenizer; return the folder as a model spec.

    Linear attention forgets slowly, as in trained models: with transformers' own random decay a
    score would hardly depend on a state that is wrong.
    """
    model = random_model(config, device or torch.device("cpu"), dtype)
    for name, weight in model.named_parameters():
        if name.endswith("A_log"):
            nn.init.uniform_(weight, -7.0, -2.0)
    with silence_transformers():
        model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def make_pairs(
    encoder: PromptEncoder, queries: int, lengths: Sequence[int], *, seed: int = 0
) -> list[tuple[str, str]]:
    """Return real text as pairs: each query with a document of about each length in tokens."""
    passages, texts = (
        [row["text"] for row in read_jsonl(CORPUS / "train" / name)]
        for name in ("corpus.jsonl", "queries.jsonl")
    )
    ids = encoder.document_ids(random.Random(seed).sample(passages, 60))
    stream = itertools.cycle(itertools.chain.from_iterable(ids))
    decode = encoder.tokenizer.decode
    return [
        (
            f"{texts[query % len(texts)]} {query}",
            str(decode(list(itertools.islice(stream, length)))),
        )
        for query in range(queries)
        for length in lengths
    ]


@dataclass(frozen=True)
class Work:
    """Floating-point operations of a forward pass: 2 for each multiplication with a sum.

    Attributes:
        per_token: of the linear layers without the head, and of the states of linear attention.
        per_key: of a query and a key of full attention, over all layers.
        per_head_token: of the head over the vocabulary.
        adapters: per token, of adapters on the linear layers.
    """

    per_token: int
    per_key: int
    per_head_token: int
    adapters: int = 0

    def forward(self, tokens: float, keys: float = 0, head_tokens: float = 0) -> float:
        """Return the operations of tokens that attend to `keys` keys in all."""
        return tokens * self.per_token + keys * self.per_key + head_tokens * self.per_head_token

    def training(self, tokens: float, keys: float, head_tokens: float, *, full: bool) -> float:
        """Return the operations of forward and backward passes, recomputed activations excluded.

        Frozen weights need two thirds of what trained ones need, as no gradient of them is
        computed; attention needs all.
        """
        forward = self.forward(tokens, 0, head_tokens)
        return (3 if full else 2) * forward + 3 * (keys * self.per_key + tokens * self.adapters)


def work_of(model: Any) -> Work:
    """Return the operations of a causal model, which may have adapters."""
    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    linears = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
    adapters = sum(2 * one.weight.numel() for name, one in linears.items() if "lora_" in name)
    own = sum(2 * one.weight.numel() for one in linears.values() if one is not head) - adapters
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    heads = config.num_attention_heads * config.head_dim
    linear = kinds.count("linear_attention")
    if linear:  # the state is read for the correction, written, and read by the query
        state = config.linear_key_head_dim * config.linear_value_head_dim
        own += linear * 6 * config.linear_num_value_heads * state
    per_key = 4 * heads * (len(kinds) - linear)
    return Work(own, per_key, 2 * head.weight.numel(), adapters)


def known_peak(card: str) -> float | None:
    """Return the published bfloat16 FLOP/s of a card; None for one that is not in the table."""
    return next((1e12 * peak for name, peak in PEAKS.items() if name in card), None)


def measured_peak(device: torch.device) -> float:
    """Return the FLOP/s of a large matrix product: bfloat16 on CUDA, small float32 elsewhere."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (256, torch.float32)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = min(timed(device, lambda: left @ right)[0] for _ in range(12))
    return 2 * size**3 / best


def timed(device: torch.device, work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds of `work`, all of its kernels included, and its result."""
    synchronize(device)
    started = time.perf_counter()
    result = work()
    synchronize(device)
    return time.perf_counter() - started, result


def synchronize(device: torch.device) -> None:
    """Wait for all kernels of a CUDA device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 products and convolutions without TF32."""
    backends: Any = torch.backends
    before = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32 = before
