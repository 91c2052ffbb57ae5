"""Quantised weights as plain tensors again: the passes join and slice them, which those of torchao
do not allow. Scores are the quantised model's; memory is the plain model's."""

import torch
from torch import nn


def dequantize_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace, in place, each parameter that is a tensor of another library's type."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if type(parameter.data) is not torch.Tensor:
                plain = parameter.data.dequantize().to(dtype)
                setattr(module, name, nn.Parameter(plain, requires_grad=False))
