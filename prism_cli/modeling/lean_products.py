"""The products of a decoder layer whose weights are frozen, with few passes over memory.

On a CPU, norms, activations and adapters of small models are bound by memory. Here a norm, the
products behind it and their adapters are one node of autograd, which keeps its input and, of an
MLP, gate and up, and computes all else again. Numbers equal those of transformers and peft up to
float rounding; in bfloat16, norms are rounded to it in two places more.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Adapted(NamedTuple):
    """A frozen matrix and its adapter in float32: x W^T + scale (x A^T) B^T."""

    weight: Tensor
    down: Tensor | None
    up: Tensor | None
    scale: float


def adapted(linear: nn.Module, dtype: torch.dtype) -> Adapted | None:
    """Return the tensors of a linear layer; None if it is not frozen, plain and of `dtype`.

    Plain: no bias, and no adapter but one of LoRA without dropout.
    """
    base: Any = getattr(linear, "base_layer", linear)
    weight = base.weight
    if type(base) is not nn.Linear or base.bias is not None or weight.requires_grad:
        return None
    if weight.dtype != dtype:
        return None
    if base is linear:
        return Adapted(weight, None, None, 0.0)
    lora: Any = linear
    if not isinstance(getattr(linear, "lora_A", None), nn.ModuleDict):
        return None  # an adapter of another kind
    if lora.disable_adapters or lora.merged or lora.lora_variant or len(lora.active_adapters) != 1:
        return None
    (name,) = lora.active_adapters
    if name not in lora.lora_A or not isinstance(lora.lora_dropout[name], nn.Identity):
        return None
    down, up = lora.lora_A[name], lora.lora_B[name]
    if down.weight.dtype != torch.float32 or up.bias is not None:
        return None
    return Adapted(weight, down.weight, up.weight, lora.scaling[name])


def normed_products(hidden: Tensor, norm: Any, parts: list[Adapted]) -> tuple[Tensor, ...]:
    """Return the products [tokens, outputs] of normed `hidden` [tokens, width]."""
    scales = [part.scale for part in parts]
    products: Any = _NormedProducts.apply
    outputs: tuple[Tensor, ...] = products(
        hidden, norm.weight, norm.variance_epsilon, scales, *_tensors(parts)
    )
    return outputs


def added_product(residual: Tensor, hidden: Tensor, part: Adapted) -> Tensor:
    """Return `residual` [tokens, outputs] plus the product of `hidden` [tokens, width]."""
    product: Any = _AddedProduct.apply
    out: Tensor = product(residual, hidden, part.scale, *part[:3])
    return out


def added_mlp(hidden: Tensor, norm: Any, parts: list[Adapted]) -> Tensor:
    """Return `hidden` [tokens, width] plus the gated MLP (gate, up, down) of the normed one."""
    scales = [part.scale for part in parts]
    mlp: Any = _AddedMlp.apply
    out: Tensor = mlp(hidden, norm.weight, norm.variance_epsilon, scales, *_tensors(parts))
    return out


def rotated(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [tokens, heads, head_dim] by cosines and sines [tokens, head_dim]."""
    rotate: Any = _Rotated.apply
    out: Tensor = rotate(heads, cos, sin)
    return out


def _tensors(parts: list[Adapted]) -> list[Tensor | None]:
    return [tensor for part in parts for tensor in part[:3]]


def _parts(tensors: Sequence[Any], scales: list[float]) -> list[Adapted]:
    """Return the parts, their adapters in the dtype of the matrices."""
    dtype = tensors[0].dtype
    same: list[Any] = [None if tensor is None else tensor.to(dtype) for tensor in tensors]
    return [Adapted(*part) for part in zip(same[::3], same[1::3], same[2::3], scales, strict=True)]


class _NormedProducts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, gain: Tensor, eps: float, scales: list[float], *tensors: Any
    ) -> tuple[Tensor, ...]:
        inverse = _inverse_norm(hidden, eps)
        ctx.save_for_backward(hidden, inverse, gain, *tensors)
        ctx.scales = scales
        normed = _normed(hidden, inverse, gain)
        return tuple(_product(normed, part) for part in _parts(tensors, scales))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, inverse, gain, *tensors = ctx.saved_tensors
        normed = _normed(hidden, inverse, gain)
        total: Tensor | None = None
        own: list[Tensor | None] = []
        for part, gradient in zip(_parts(tensors, ctx.scales), gradients, strict=True):
            total, *adapter = _product_backward(normed, gradient, part, total)
            own += [None, *adapter]
        assert total is not None
        return _norm_backward(total, hidden, inverse, gain), None, None, None, *own


class _AddedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, residual: Tensor, hidden: Tensor, scale: float, *tensors: Any) -> Tensor:
        ctx.save_for_backward(hidden, *tensors)
        ctx.scales = [scale]
        (part,) = _parts(tensors, ctx.scales)
        return _product(hidden, part, residual)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, *tensors = ctx.saved_tensors
        (gradient,), (part,) = gradients, _parts(tensors, ctx.scales)
        inner, *adapter = _product_backward(hidden, gradient, part, None)
        return gradient, inner, None, None, *adapter


class _AddedMlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, gain: Tensor, eps: float, scales: list[float], *tensors: Any
    ) -> Tensor:
        inverse = _inverse_norm(hidden, eps)
        gate_part, up_part, down_part = _parts(tensors, scales)
        normed = _normed(hidden, inverse, gain)
        gate, up = _product(normed, gate_part), _product(normed, up_part)
        ctx.save_for_backward(hidden, inverse, gain, gate, up, *tensors)
        ctx.scales = scales
        return _product(functional.silu(gate).mul_(up), down_part, hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, inverse, gain, gate, up, *tensors = ctx.saved_tensors
        (gradient,) = gradients
        gate_part, up_part, down_part = _parts(tensors, ctx.scales)
        activated = functional.silu(gate)
        inner, *down = _product_backward(activated * up, gradient, down_part, None)
        of_up = activated.mul_(inner)
        of_gate = torch.ops.aten.silu_backward(inner.mul_(up), gate)
        normed = _normed(hidden, inverse, gain)
        total, *own_gate = _product_backward(normed, of_gate, gate_part, None)
        total, *own_up = _product_backward(normed, of_up, up_part, total)
        out = _norm_backward(total, hidden, inverse, gain).add_(gradient)
        return out, None, None, None, None, *own_gate, None, *own_up, None, *down


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(heads, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return _rotated(gradients[0], cos, sin, -1), None, None


def _rotated(heads: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    half = heads.shape[-1] // 2
    sin = sin[:, None, :half]
    out = heads * cos[:, None]
    out[..., :half].addcmul_(heads[..., half:], sin, value=-direction)
    out[..., half:].addcmul_(heads[..., :half], sin, value=direction)
    return out


def _inverse_norm(hidden: Tensor, eps: float) -> Tensor:
    """Return 1 / root mean square of each token, [tokens, 1], summed in float32."""
    norm: Tensor = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
    return norm.square_().div_(hidden.shape[-1]).add_(eps).rsqrt_().to(hidden.dtype)


def _normed(hidden: Tensor, inverse: Tensor, gain: Tensor) -> Tensor:
    return (hidden * inverse).mul_(gain)


def _norm_backward(gradient: Tensor, hidden: Tensor, inverse: Tensor, gain: Tensor) -> Tensor:
    """Return the gradient of `hidden`; overwrites `gradient`."""
    scaled = gradient.mul_(gain)
    along = torch.linalg.vecdot(scaled, hidden)[:, None]
    along = along.mul_(inverse.pow(3)).div_(-hidden.shape[-1])
    return scaled.mul_(inverse).addcmul_(hidden, along)


def _product(hidden: Tensor, part: Adapted, residual: Tensor | None = None) -> Tensor:
    out = hidden @ part.weight.t()
    if part.down is not None and part.up is not None:
        out.addmm_(hidden @ part.down.t(), part.up.t(), alpha=part.scale)
    return out if residual is None else out.add_(residual)


def _product_backward(
    hidden: Tensor, gradient: Tensor, part: Adapted, total: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the gradients of `hidden`, added to `total` in place, and of the adapter."""
    total = gradient @ part.weight if total is None else total.addmm_(gradient, part.weight)
    if part.down is None or part.up is None:
        return total, None, None
    inner = (gradient @ part.up).mul_(part.scale)
    total.addmm_(inner, part.down)
    up = (gradient.t() @ (hidden @ part.down.t())).mul_(part.scale)
    return total, inner.t() @ hidden, up
