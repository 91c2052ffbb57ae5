"""Gather weights that FSDP (torch's fully_shard) has sharded over the processes."""

from torch import Tensor, distributed
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from prism_cli.modeling.losses import RowForward


def full_state_dict(forward: RowForward) -> dict[str, Tensor] | None:
    """Return the trained weights by their names in `forward.model`, on the CPU.

    Every process calls it, because each has a part. The result is complete in the first process, {}
    in the others; None if nothing is sharded.
    """
    if not isinstance(forward, FSDPModule):
        return None
    forward.reshard()  # a pass without gradients leaves some gathered, in the dtype of autocast
    keep = distributed.get_rank() == 0
    state_dict: dict[str, Tensor] = {}
    for name, weight in forward.model.named_parameters():
        if weight.requires_grad:
            tensor = weight.full_tensor() if isinstance(weight, DTensor) else weight
            if keep:
                state_dict[name] = tensor.detach().cpu()
    return state_dict
