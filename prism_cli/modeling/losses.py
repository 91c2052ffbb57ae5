"""Verdict logits and target cross-entropies of rows, from a causal language model.

The head is computed only at target positions, and the verdict's logit from two of its rows in
float32, so a step's memory does not grow with vocabulary x tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from prism_cli.domain.defaults import GAMMA_POINT, GAMMA_SFT
from prism_cli.modeling.packed_layers import ReadTokens
from prism_cli.modeling.packed_rows import Layout, common_prefix
from prism_cli.modeling.row_states import packs_rows, prepare_packing, row_states

HEAD_POSITIONS = 1024
"""Maximum positions whose logits over the vocabulary are in memory together."""


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """One drawn row as token ids.

    Attributes:
        prompt: token ids; the verdict is predicted at its last position.
        target: token ids of the answer with eos; empty if the row has no sft objective.
        teacher_score: in [0, 1]; 0 if `pointwise` is False.
        place: file:line, for messages.
    """

    prompt: Sequence[int]
    target: Sequence[int]
    teacher_score: float
    pointwise: bool
    place: str

    @property
    def tokens(self) -> int:
        """Length of the model's input: the last target token is predicted, never read."""
        return len(self.prompt) + max(len(self.target) - 1, 0)


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows of one pass, packed into one sequence.

    Attributes:
        ids: int64 [tokens], the tokens of the shared prefix, then each row's own.
        layout: positions of each row's own tokens.
        read: the tokens whose states predict verdicts and targets.
        verdict_at: int64 [rows], the last prompt position, as an index of `read`.
        target_row, target_at, target_ids: int64 [target tokens], row, index of `read` and id of
            each.
        target_weight: float32 [target tokens], 1 / length of the row's target.
        teacher_score, pointwise: float32 [rows].
    """

    ids: Tensor
    layout: Layout
    read: ReadTokens
    verdict_at: Tensor
    target_row: Tensor
    target_at: Tensor
    target_ids: Tensor
    target_weight: Tensor
    teacher_score: Tensor
    pointwise: Tensor

    @classmethod
    def of(cls, rows: Sequence[TokenizedRow], device: torch.device | str = "cpu") -> "RowBatch":
        """Pack `rows` into a batch."""
        shared_prefix = common_prefix([row.prompt for row in rows])
        layout = Layout.of(shared_prefix, [row.tokens - shared_prefix for row in rows], device)
        ids = torch.zeros(shared_prefix + sum(layout.lengths), dtype=torch.long)
        ids[:shared_prefix] = torch.tensor(rows[0].prompt[:shared_prefix])
        read = ReadTokens.of(layout, [max(len(row.target), 1) for row in rows], device)
        target_row: list[int] = []
        target_at: list[int] = []
        target_ids: list[int] = []
        target_weight: list[float] = []
        for number, (row, start) in enumerate(zip(rows, layout.starts, strict=True)):
            own = [*row.prompt[shared_prefix:], *row.target[:-1]]
            ids[start : start + len(own)] = torch.tensor(own)
            first = read.starts[number]
            target_row += [number] * len(row.target)
            target_at += range(first, first + len(row.target))
            target_ids += row.target
            target_weight += [1 / max(len(row.target), 1)] * len(row.target)
        integers = partial(torch.tensor, dtype=torch.long, device=device)
        floats = partial(torch.tensor, dtype=torch.float32, device=device)
        return cls(
            ids.to(device),
            layout,
            read,
            integers(read.starts),
            integers(target_row),
            integers(target_at),
            integers(target_ids),
            floats(target_weight),
            floats([row.teacher_score for row in rows]),
            floats([float(row.pointwise) for row in rows]),
        )


class RowForward(nn.Module):
    """A causal language model that returns logit and cross-entropy of each row.

    Args:
        model: a transformers causal LM, or a peft model around one.
        yes_id, no_id: the verdict's tokens.
        pack_hybrids: pack rows of models with linear layers where kernels keep them apart; False:
            pad them.
    """

    def __init__(
        self, model: nn.Module, yes_id: int, no_id: int, *, pack_hybrids: bool = True
    ) -> None:
        super().__init__()
        self.model = model
        self.yes_id = yes_id
        self.no_id = no_id
        prepare_packing(self._causal, hybrids=pack_hybrids)
        # For FSDP, which refuses names of layers that the model lacks, as of a vision tower.
        present = {type(module).__name__ for module in self._causal.modules()}
        named = getattr(self._causal, "_no_split_modules", None) or ()
        self._no_split_modules = [name for name in named if name in present]

    @property
    def packs(self) -> bool:
        """True if the rows of a pass are packed without padding."""
        return packs_rows(self._causal)

    def tie_weights(self) -> None:
        """Tie input and output embeddings again; FSDP calls this after sharding."""
        self._causal.tie_weights()

    @property
    def _causal(self) -> Any:
        wrapped: Any = self.model
        return wrapped.get_base_model() if hasattr(wrapped, "peft_config") else wrapped

    def forward(self, batch: RowBatch) -> tuple[Tensor, Tensor]:
        """Return (logit, cross_entropy), float32 [rows] each.

        logit: l_yes - l_no at the last prompt position. cross_entropy: mean over the row's target
        tokens, eos included; 0 for a row without target.
        """
        causal = self._causal
        hidden = row_states(causal, batch.ids, batch.layout, batch.read)
        head: nn.Module = causal.get_output_embeddings()
        logit = self._verdict(hidden[batch.verdict_at], head)
        cross_entropy = torch.zeros_like(logit)
        if len(batch.target_ids):
            losses = _target_losses(head, hidden[batch.target_at], batch.target_ids)
            cross_entropy = cross_entropy.index_add(
                0, batch.target_row, losses * batch.target_weight
            )
        return logit, cross_entropy

    def _verdict(self, hidden: Tensor, head: nn.Module) -> Tensor:
        base: Any = getattr(head, "base_layer", head)
        updates = _lora_updates(head) if base is not head else []
        if updates is None:  # its logit is known only from its forward
            both: Tensor = head(hidden).float()
            return both[:, self.yes_id] - both[:, self.no_id]
        with torch.autocast(hidden.device.type, enabled=False):
            states = hidden.float()
            logit = self._difference(states, base)
            for dropout, down, up, scale in updates:
                inner = functional.linear(dropout(states), down.weight.float())
                logit = logit + self._difference(inner, up) * scale
        return logit

    def _difference(self, states: Tensor, linear: Any) -> Tensor:
        """Return the difference of two outputs of a linear layer, in float32."""
        weight, bias = linear.weight, linear.bias
        difference: Tensor = states @ (weight[self.yes_id].float() - weight[self.no_id].float())
        if bias is not None:
            difference = difference + (bias[self.yes_id] - bias[self.no_id]).float()
        return difference


def _lora_updates(head: Any) -> list[tuple[Any, Any, Any, float]] | None:
    """Return (dropout, A, B, scaling) of each plain LoRA adapter; None for another kind."""
    if not hasattr(head, "lora_A") or head.lora_variant:
        return None
    return [
        (head.lora_dropout[name], head.lora_A[name], head.lora_B[name], head.scaling[name])
        for name in head.active_adapters
        if name in head.lora_A
    ]


def step_loss(
    logit: Tensor,
    cross_entropy: Tensor,
    batch: RowBatch,
    *,
    gamma_point: float = GAMMA_POINT,
    gamma_sft: float = GAMMA_SFT,
) -> tuple[Tensor, Tensor]:
    """Return (pointwise, sft), each row's part of the loss, float32 [rows], before the mean.

    pointwise = gamma_point * pw * (sigmoid(logit) - teacher_score)^2, sft = gamma_sft *
    cross_entropy. A step's loss is the sum of both over its rows, divided by rows_per_step, so it
    does not depend on how the rows are split into batches.
    """
    error = torch.sigmoid(logit) - batch.teacher_score
    return gamma_point * batch.pointwise * error.square(), gamma_sft * cross_entropy


def _target_losses(head: nn.Module, hidden: Tensor, ids: Tensor) -> Tensor:
    """Return the cross-entropy at each of `hidden` [tokens, width], float32 [tokens]."""

    def losses(states: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(head(states).float(), targets, reduction="none")

    if len(ids) <= HEAD_POSITIONS:
        return losses(hidden, ids)
    parts = zip(torch.split(hidden, HEAD_POSITIONS), torch.split(ids, HEAD_POSITIONS), strict=True)
    return torch.cat([checkpoint(losses, *part, use_reentrant=False) for part in parts])
