"""The kernels of `fla` and `causal_conv1d` as loops over the rows of a packed sequence.

They have the signatures that transformers calls, and compute each row by transformers' torch code.
"""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.qwen3_5 import modeling_qwen3_5

from prism_cli.modeling import row_states


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
