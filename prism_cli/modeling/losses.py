"""Rows through a causal language model to verdict logits and target cross-entropies.

The head is computed at target positions alone, and the verdict's logit from two of its rows in
float32, so a step's memory does not grow with vocabulary x tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from prism_cli.modeling.shared_prefix import common_prefix, last_hidden

HEAD_POSITIONS = 1024
"""Positions whose logits over the vocabulary exist at one time."""


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """One draw, ready for the model.

    Attributes:
        prompt: token ids; the verdict is predicted at its last position.
        target: token ids of the answer with eos; empty where the draw has no sft objective.
        teacher_score: in [0, 1]; 0 where `pointwise` is False.
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
    """Rows of one pass, padded on the right.

    Attributes:
        shared: first tokens that all prompts have in common.
        input_ids, attention_mask: int64 [rows, width].
        verdict_at: int64 [rows], the last prompt position.
        target_row, target_at, target_ids: int64 [target tokens], where each is predicted.
        target_weight: float32 [target tokens], 1 / length of the row's target.
        teacher_score, pointwise: float32 [rows].
    """

    shared: int
    input_ids: Tensor
    attention_mask: Tensor
    verdict_at: Tensor
    target_row: Tensor
    target_at: Tensor
    target_ids: Tensor
    target_weight: Tensor
    teacher_score: Tensor
    pointwise: Tensor

    @classmethod
    def of(cls, rows: Sequence[TokenizedRow], device: torch.device | str = "cpu") -> "RowBatch":
        """Pad `rows`; the padding id is 0 and masked."""
        width = max(row.tokens for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        target_row: list[int] = []
        target_at: list[int] = []
        target_ids: list[int] = []
        target_weight: list[float] = []
        for number, row in enumerate(rows):
            read = [*row.prompt, *row.target[:-1]]
            ids[number, : len(read)] = torch.tensor(read)
            mask[number, : len(read)] = 1
            first = len(row.prompt) - 1
            target_row += [number] * len(row.target)
            target_at += range(first, first + len(row.target))
            target_ids += row.target
            target_weight += [1 / max(len(row.target), 1)] * len(row.target)
        values = (
            ids,
            mask,
            torch.tensor([len(row.prompt) - 1 for row in rows]),
            torch.tensor(target_row, dtype=torch.long),
            torch.tensor(target_at, dtype=torch.long),
            torch.tensor(target_ids, dtype=torch.long),
            torch.tensor(target_weight, dtype=torch.float32),
            torch.tensor([row.teacher_score for row in rows], dtype=torch.float32),
            torch.tensor([float(row.pointwise) for row in rows], dtype=torch.float32),
        )
        shared = common_prefix([row.prompt for row in rows])
        return cls(shared, *(value.to(device) for value in values))


class RowForward(nn.Module):
    """A causal language model that answers with logit and cross-entropy for each row.

    Args:
        model: a transformers causal LM, or a peft model around one.
        yes_id, no_id: the verdict's tokens.
    """

    def __init__(self, model: nn.Module, yes_id: int, no_id: int) -> None:
        super().__init__()
        self.model = model
        self.yes_id = yes_id
        self.no_id = no_id

    def forward(self, batch: RowBatch) -> tuple[Tensor, Tensor]:
        """(logit, cross_entropy), float32 [rows] each.

        logit: l_yes - l_no at the last prompt position. cross_entropy: mean over the row's target
        tokens, eos included; 0 for a row without target.
        """
        wrapped: Any = self.model
        causal: Any = wrapped.get_base_model() if hasattr(wrapped, "peft_config") else wrapped
        hidden, first = last_hidden(causal, batch.input_ids, batch.attention_mask, batch.shared)
        head: nn.Module = causal.get_output_embeddings()
        rows = torch.arange(len(batch.verdict_at), device=hidden.device)
        logit = self._verdict(hidden[rows, batch.verdict_at - first], head)
        cross_entropy = torch.zeros_like(logit)
        if len(batch.target_ids):
            wanted = hidden[batch.target_row, batch.target_at - first]
            losses = _target_losses(head, wanted, batch.target_ids)
            cross_entropy = cross_entropy.index_add(
                0, batch.target_row, losses * batch.target_weight
            )
        return logit, cross_entropy

    def _verdict(self, hidden: Tensor, head: nn.Module) -> Tensor:
        weight, bias = head.weight, getattr(head, "bias", None)
        assert isinstance(weight, Tensor)
        with torch.autocast(hidden.device.type, enabled=False):
            logit = hidden.float() @ (weight[self.yes_id].float() - weight[self.no_id].float())
            if isinstance(bias, Tensor):
                logit = logit + (bias[self.yes_id] - bias[self.no_id]).float()
        return logit


def step_loss(
    logit: Tensor,
    cross_entropy: Tensor,
    batch: RowBatch,
    *,
    gamma_point: float = 10.0,
    gamma_sft: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """(pointwise, sft): each row's part of the loss, float32 [rows] each, before the mean.

    pointwise = gamma_point * pw * (sigmoid(logit) - teacher_score)^2, sft = gamma_sft *
    cross_entropy. A step's loss is the sum of both over its rows, divided by rows_per_step, so it
    does not depend on how the rows are split into batches.
    """
    error = torch.sigmoid(logit) - batch.teacher_score
    return gamma_point * batch.pointwise * error.square(), gamma_sft * cross_entropy


def _target_losses(head: nn.Module, hidden: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy at each of `hidden` [tokens, width], float32 [tokens]."""

    def losses(some: Tensor, wanted: Tensor) -> Tensor:
        return functional.cross_entropy(head(some).float(), wanted, reduction="none")

    if len(ids) <= HEAD_POSITIONS:
        return losses(hidden, ids)
    parts = zip(torch.split(hidden, HEAD_POSITIONS), torch.split(ids, HEAD_POSITIONS), strict=True)
    return torch.cat([checkpoint(losses, *part, use_reentrant=False) for part in parts])
