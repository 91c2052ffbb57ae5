"""Reference loss of one row, as in the paper: unbatched, with the full vocabulary."""

from typing import Any

import torch
from torch import Tensor

from prism_cli.modeling.losses import TokenizedRow


def row_loss(model: Any, row: TokenizedRow, yes: int, no: int) -> Tensor:
    """10 * pw * (sigmoid(l_yes - l_no) - teacher_score)^2 + mean cross-entropy of the target."""
    ids = torch.tensor([[*row.prompt, *row.target]])
    logits = model(input_ids=ids, use_cache=False).logits[0]
    at = len(row.prompt) - 1
    score = torch.sigmoid(logits[at, yes] - logits[at, no])
    loss = 10 * float(row.pointwise) * (score - row.teacher_score) ** 2
    if row.target:
        logp = torch.log_softmax(logits, dim=-1)
        loss = (
            loss - torch.stack([logp[at + n, token] for n, token in enumerate(row.target)]).mean()
        )
    return loss
