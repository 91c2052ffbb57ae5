"""The kernels of `fla`, `causal_conv1d` and torch's varlen as loops over rows, for a CPU.

They have the signatures of the kernels, and compute each row by transformers' or torch's own code.
"""

from inspect import Signature, signature
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.qwen3_5 import modeling_qwen3_5

from prism_cli.modeling import row_states, varlen_attention


def use_kernels(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Let linear layers keep rows apart; return the lengths of the rows of each call, by call."""
    lengths: list[list[int]] = []
    rule = modeling_qwen3_5.torch_chunk_gated_delta_rule
    convolution = modeling_qwen3_5.causal_conv1d_fn

    def chunk_gated_delta_rule(
        q: Tensor, k: Tensor, v: Tensor, *, g: Tensor, beta: Tensor, cu_seqlens: Tensor, **more: Any
    ) -> tuple[Tensor, None]:
        assert len(q) == 1
        assert more.pop("initial_state") is None
        assert not more["output_final_state"]
        more = {"use_qk_l2norm_in_kernel": more["use_qk_l2norm_in_kernel"]}
        ends: list[int] = cu_seqlens.tolist()
        assert ends[-1] == q.shape[1]
        lengths.append([end - start for start, end in pairwise(ends)])
        parts = [slice(*ends) for ends in pairwise(ends)]
        outputs = [
            rule(q[:, p], k[:, p], v[:, p], g=g[:, p], beta=beta[:, p], **more)[0] for p in parts
        ]
        return torch.cat(outputs, dim=1), None

    def causal_conv1d_fn(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *,
        activation: str,
        seq_idx: Tensor,
        **_: Any,
    ) -> Tensor:
        assert seq_idx.dtype == torch.int32
        assert seq_idx.shape == (1, x.shape[2])
        assert x.stride(1) == 1  # the kernel takes seq_idx in this layout only
        sizes: list[int] = torch.unique_consecutive(seq_idx[0], return_counts=True)[1].tolist()
        rows = torch.split(x, sizes, dim=2)
        return torch.cat(
            [convolution(row, weight, bias, activation=activation) for row in rows], dim=2
        )

    monkeypatch.setattr(modeling_qwen3_5, "torch_chunk_gated_delta_rule", chunk_gated_delta_rule)
    monkeypatch.setattr(modeling_qwen3_5, "causal_conv1d_fn", causal_conv1d_fn)
    monkeypatch.setattr(row_states, "keeps_rows_apart", lambda _: True)
    return lengths


def use_varlen_kernel(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a loop over rows stand for torch's kernel; return the rows of each call, by call."""
    rows: list[int] = []

    def kernel(
        query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor,
        max_q: int, max_k: int, **options: Any,
    ) -> Tensor:  # fmt: skip
        varlen_kernel().bind(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, **options)
        assert options["window_size"] == (-1, 0)  # causal, aligned at the last query and key
        assert options["enable_gqa"]
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert query.dtype == key.dtype == value.dtype
        assert all(part.stride(-1) == 1 for part in (query, key, value))
        bounds = [list(pairwise(ends.tolist())) for ends in (cu_seq_q, cu_seq_k)]
        assert [max(end - start for start, end in each) for each in bounds] == [max_q, max_k]
        assert [each[-1][1] for each in bounds] == [len(query), len(key)]
        rows.append(len(bounds[0]))
        outputs = []
        for own, keys in zip(*bounds, strict=True):
            parts = [
                part[slice(*where)] for part, where in ((query, own), (key, keys), (value, keys))
            ]
            q, k, v = (part.transpose(0, 1)[None] for part in parts)
            visible = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool)
            visible = visible.tril(k.shape[2] - q.shape[2])
            out = scaled_dot_product_attention(
                q, k, v, attn_mask=visible, scale=options["scale"], enable_gqa=True
            )
            outputs.append(out[0].transpose(0, 1))
        return torch.cat(outputs)

    monkeypatch.setattr(varlen_attention, "_kernel", lambda: kernel)
    return rows


def varlen_kernel() -> Signature:
    """Return the signature of torch's own kernel."""
    from torch.nn.attention.varlen import varlen_attn

    return signature(varlen_attn)
