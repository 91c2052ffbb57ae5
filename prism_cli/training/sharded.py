"""Weights that FSDP has split over the processes (fully_shard of torch), as whole tensors."""

from torch import Tensor, distributed
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from prism_cli.modeling.losses import RowForward


def whole_weights(forward: RowForward) -> dict[str, Tensor] | None:
    """The trained weights under their names in `forward.model`, on the CPU.

    Every process calls it, for each gives its part; the first one alone keeps the whole, and the
    others have {}. None where nothing is sharded.
    """
    if not isinstance(forward, FSDPModule):
        return None
    forward.reshard()  # a pass without gradients leaves some whole, in the dtype of its products
    keep = distributed.get_rank() == 0
    whole: dict[str, Tensor] = {}
    for name, one in forward.model.named_parameters():
        if one.requires_grad:
            tensor = one.full_tensor() if isinstance(one, DTensor) else one
            if keep:
                whole[name] = tensor.detach().cpu()
    return whole
