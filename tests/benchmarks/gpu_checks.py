"""The passes of prism on a device against transformers' own on the CPU, for gpu_check.

The reference is float32 on the CPU, one row at a time, without caches, packing or padding.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.domain.defaults import GAMMA_POINT
from prism_cli.modeling.decoding import Generation
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.linear_kernels import kernels_missing
from prism_cli.modeling.loading import load_model
from prism_cli.modeling.lora import add_lora, recompute_activations, train_all
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow, step_loss
from prism_cli.modeling.varlen_attention import VARLEN, use_varlen, varlen_fault
from prism_cli.ports import Reply, RerankTask
from tests.benchmarks.gpu_models import config_of, exact_float32, make_pairs, save_model
from tests.written_out import row_loss

FAMILIES = {
    "llama": ("SmolLM2-135M", 3),
    "qwen3": ("Qwen3-4B", 2),
    "qwen3_5": ("Qwen3.5-0.8B, 32 value heads", 4),
}
"""The shape of each family, and how many of its layers are checked."""
TEXT_TOKENS = 12
FLOAT32, KERNELS = 1e-4, 1e-2
"""Largest difference of logits in float32; with the kernels of `fla`, which use TF32 inside."""
BFLOAT16_MEDIAN, BFLOAT16_LARGEST, CORRELATION = 0.05, 0.4, 0.9
NEAR_TIE = 1e-3
"""Two tokens whose logits are closer may be exchanged in float32; with kernels 100 times as far."""
GRADIENT, COSINE = 1e-3, 0.97
"""Largest relative error of a weight's gradient in float32; least cosine of all in bfloat16."""
LOSS = {"float32": 1e-5, "bfloat16": 3e-2}


class Sizes(NamedTuple):
    """Tokens of documents; the long ones attend without a mask."""

    short: tuple[int, ...] = (5, 12, 60, 61, 130, 250)
    long: tuple[int, ...] = (530, 900, 2000)
    trained: tuple[int, ...] = (12, 60, 61, 130, 250, 780, 1500)


TINY = {
    "qwen3": Sizes((5, 12, 60, 61), (530,), (12, 60, 760)),
    "qwen3_5": Sizes((5, 12, 60, 61), (130,), (12, 60, 61)),
}


@dataclass(frozen=True)
class Check:
    """What was compared, the bound, what was found, and whether it is within the bound."""

    name: str
    bound: str
    found: str
    passed: bool


def check_family(family: str, device: str, *, tiny: bool = False) -> list[Check]:
    """Return the checks of one family of models."""
    name, layers = FAMILIES[family]
    sizes = TINY[family] if tiny else Sizes()
    with TemporaryDirectory() as folder, exact_float32():
        config = config_of(name, tiny=tiny, layers=None if tiny else layers, small=True)
        spec = save_model(config, Path(folder) / family)
        return [
            Check(f"{family}: {check.name}", check.bound, check.found, check.passed)
            for check in (*_inference(spec, device, sizes), *_training(spec, device, sizes))
        ]


def _inference(spec: str, device: str, sizes: Sizes) -> Iterator[Check]:
    plain: Any = load_model(spec, device="cpu", dtype="float32").model
    exact = load_reranker(spec, device=device, dtype="float32")
    pairs = make_pairs(exact.encoder, 3, sizes.short) + make_pairs(exact.encoder, 2, sizes.long)
    expected = [_margin(plain, exact.encoder, pair) for pair in pairs]
    bound = _float32_bound(plain, device)
    found = _replies(exact, pairs)
    short = 3 * len(sizes.short)
    for name, part in (("short", slice(short)), ("long", slice(short, None))):
        apart = _apart(expected[part], _logits(found[part]))
        largest = f"largest difference of logits {max(apart):.1e}"
        within = max(apart) <= bound
        yield Check(f"scores of {name} documents, float32", f"<= {bound:.0e}", largest, within)
    narrow = load_reranker(spec, device=device, dtype="bfloat16")
    yield _bfloat16("", expected, _logits(_replies(narrow, pairs)))
    if torch.device(device).type == "cuda" and not varlen_fault(torch.device(device)):
        by_rows = load_reranker(spec, device=device, dtype="bfloat16", attn=VARLEN)
        yield _bfloat16(", varlen attention", expected, _logits(_replies(by_rows, pairs)))
    yield from _texts(plain, exact, pairs[: len(sizes.short)] + pairs[-1:])


def _bfloat16(way: str, expected: list[float], found: list[float]) -> Check:
    from scipy.stats import spearmanr

    apart = _apart(expected, found)
    median, largest = statistics.median(apart), max(apart)
    correlation = float(spearmanr(expected, found).statistic)
    return Check(
        f"scores, bfloat16{way}",
        f"median <= {BFLOAT16_MEDIAN}, largest <= {BFLOAT16_LARGEST}, correlation >= {CORRELATION}",
        f"median {median:.3f}, largest {largest:.3f}, rank correlation {correlation:.4f}",
        median <= BFLOAT16_MEDIAN and largest <= BFLOAT16_LARGEST and correlation >= CORRELATION,
    )


def _texts(plain: Any, ours: TransformersReranker, pairs: list[tuple[str, str]]) -> Iterator[Check]:
    """Compare texts, written in one batch, with those of `generate`, one at a time."""
    near_tie = NEAR_TIE * _float32_bound(plain, str(ours._pass.device)) / FLOAT32
    kinds = [("with drafts", True)] if ours._pass.supports_rollback else []
    for name, drafts in [*kinds, ("token by token", False)]:
        ours.writer._drafts = drafts
        replies = _replies(ours, pairs, TEXT_TOKENS)
        different = [
            gap
            for pair, reply in zip(pairs, replies, strict=True)
            if (gap := _difference(plain, ours, pair, str(reply.value["text"]))) is not None
        ]
        found = f"{len(pairs) - len(different)} of {len(pairs)} texts equal"
        if different:
            found += f", the others at logits within {max(different):.1e}"
        yield Check(
            f"texts {name}, float32",
            f"equal, but for tokens within {near_tie:.0e}",
            found,
            all(gap <= near_tie for gap in different),
        )


@torch.inference_mode()
def _difference(
    plain: Any, ours: TransformersReranker, pair: tuple[str, str], text: str
) -> float | None:
    """Return None if the CPU writes the same text, else the smallest distance to second choices."""
    encoder, stops = ours.encoder, ours.writer.stops
    ids, cache = [*encoder.ids(*pair), encoder.yes_id], None
    tokens: list[int] = []
    gap = float("inf")
    while len(tokens) < TEXT_TOKENS:
        out = plain(torch.tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, logits = out.past_key_values, out.logits[0, -1].float()
        first, second = logits.topk(2).values.tolist()
        gap = min(gap, first - second)
        ids = [int(logits.argmax())]
        if ids[0] in stops:
            break
        tokens += ids
    made = Generation(encoder.yes_id, TEXT_TOKENS, ours.writer.ends[False], tokens=tokens)
    same = ours.writer.decoded(made) == text
    return None if same else gap


def _training(spec: str, device: str, sizes: Sizes) -> Iterator[Check]:
    loaded = load_model(spec, device="cpu", dtype="float32")
    encoder = PromptEncoder(loaded.tokenizer, loaded.profile)
    rows = training_rows(encoder, sizes.trained)
    plain: Any = train_all(loaded.model)
    total = 0.0
    for row in rows:
        loss = row_loss(plain, row, encoder.yes_id, encoder.no_id) / len(rows)
        loss.backward()
        total += loss.item()
    expected = {name: one.grad for name, one in plain.named_parameters() if one.grad is not None}
    kernels = _float32_bound(plain, device) / FLOAT32
    ways: list[tuple[str, str, bool]] = [("", "float32", True), ("", "bfloat16", True)]
    ways.append((", recomputed activations", "float32", True))
    if kernels > 1:
        ways.append((", padded", "float32", False))
    if torch.device(device).type == "cuda" and not varlen_fault(torch.device(device)):
        ways.append((", varlen attention", "bfloat16", True))
    for way, dtype, packed in ways:
        model: Any = load_model(spec, device=device, dtype="float32").model
        train_all(model)
        if "varlen" in way:
            use_varlen(model)
        if "recomputed" in way:
            recompute_activations(model)
        found = _step(model, encoder, rows, torch.device(device), dtype, packed=packed)
        gradients = {name: one.grad.cpu() for name, one in model.named_parameters()}
        looser = kernels if dtype == "float32" else 1.0
        error = abs(found - total) / total
        worst, cosine = _gradient_errors(expected, gradients)
        if dtype == "float32":
            bound, text = f"{GRADIENT * looser:.0e} of each gradient", f"gradient {worst:.1e}"
            well = worst <= GRADIENT * looser
        else:
            bound, text, well = f"cosine >= {COSINE}", f"cosine {cosine:.4f}", cosine >= COSINE
        yield Check(
            f"training rows, {dtype}{way}",
            f"loss {LOSS[dtype] * looser:.0e}, {bound}",
            f"loss {error:.1e}, {text}",
            error <= LOSS[dtype] * looser and well,
        )
    model = add_lora(
        load_model(spec, device=device, dtype="bfloat16").model, 8, 16, 0.0, ["q_proj", "out_proj"]
    )
    found = _step(model, encoder, rows, torch.device(device), "bfloat16")  # new adapters add 0
    error = abs(found - total) / total
    gradients = {name: one.grad for name, one in model.named_parameters() if one.requires_grad}
    reached = all(one is not None and bool(one.isfinite().all()) for one in gradients.values())
    yield Check(
        "training rows, adapters on bfloat16 weights",
        f"loss {LOSS['bfloat16']:.0e}, finite gradients",
        f"loss {error:.1e}, {len(gradients)} gradients {'finite' if reached else 'NOT finite'}",
        error <= LOSS["bfloat16"] and reached and bool(gradients),
    )


def training_rows(
    encoder: PromptEncoder, lengths: tuple[int, ...], queries: int = 1
) -> list[TokenizedRow]:
    """Return rows with prompts of these document lengths; every third has no target."""
    texts = ("It names the place.", "The river rises in the hills, " * 4 + "and ends in the sea.")
    return [
        TokenizedRow(
            encoder.ids(*pair),
            [] if number % 3 == 2 else encoder.encode_target("yes", *texts),
            (number % 5) / 5,
            number % 3 != 1,
            f"row {number}",
        )
        for number, pair in enumerate(make_pairs(encoder, queries, lengths, seed=2))
    ]


def _step(
    model: Any,
    encoder: PromptEncoder,
    rows: list[TokenizedRow],
    device: torch.device,
    dtype: str,
    *,
    packed: bool = True,
) -> float:
    """Add the gradients of a step as `prism train` computes them; return the loss."""
    forward = RowForward(model, encoder.yes_id, encoder.no_id, pack_hybrids=packed)
    forward.train()
    batch = RowBatch.of(rows, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
        pointwise, sft = step_loss(*forward(batch), batch, gamma_point=GAMMA_POINT)
    loss = (pointwise + sft).sum() / len(rows)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def _gradient_errors(expected: dict[str, Tensor], found: dict[str, Tensor]) -> tuple[float, float]:
    """Return the largest relative error of a weight's gradient, and the cosine of all together.

    A gradient that is less than a thousandth of all counts as that much: it is mostly rounding.
    """
    pairs = [(one.double(), found[name].double()) for name, one in expected.items()]
    theirs, ours = (sum(float(pair[side].norm() ** 2) for pair in pairs) ** 0.5 for side in (0, 1))
    worst = max(float((a - b).norm()) / max(float(a.norm()), 1e-3 * theirs) for a, b in pairs)
    product = sum(float((a * b).sum()) for a, b in pairs)
    return worst, product / (ours * theirs)


@torch.inference_mode()
def _margin(plain: Any, encoder: PromptEncoder, pair: tuple[str, str]) -> float:
    """Return l_yes - l_no of one prompt."""
    last = plain(torch.tensor([encoder.ids(*pair)]), logits_to_keep=1).logits[0, -1].float()
    return float(last[encoder.yes_id] - last[encoder.no_id])


def _replies(
    ours: TransformersReranker, pairs: list[tuple[str, str]], text_tokens: int = 0
) -> list[Reply]:
    return rerank(ours, [RerankTask(*pair, text_tokens, float("-inf")) for pair in pairs])


def rerank(ours: TransformersReranker, tasks: list[RerankTask]) -> list[Reply]:
    """Return all replies, with no cache from an earlier call."""
    ours.forget()
    replies: dict[int, Reply] = {}
    for batch in ours.plan(tasks):
        replies |= zip(batch, ours.answer([tasks[row] for row in batch]), strict=True)
    return [replies[row] for row in range(len(tasks))]


def _logits(replies: list[Reply]) -> list[float]:
    return [float(reply.value["logit"]) for reply in replies]  # type: ignore[arg-type]


def _apart(expected: list[float], found: list[float]) -> list[float]:
    return [abs(a - b) for a, b in zip(expected, found, strict=True)]


def _float32_bound(plain: Any, device: str) -> float:
    """Return the largest difference of logits in float32 that counts as rounding."""
    linear = "linear_attention" in (getattr(plain.config, "layer_types", None) or ())
    on_kernels = device != "cpu" and linear and not kernels_missing()
    return KERNELS if on_kernels else FLOAT32
