"""Dequantize weights: the forward passes join and slice them, which torchao's tensors do not allow.

Scores are those of the quantised model; memory use is that of the plain model.
"""

import torch
from torch import nn


def dequantize_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Replace, in place, each parameter of another tensor type by a plain tensor of `dtype`."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if type(parameter.data) is not torch.Tensor:
                plain = parameter.data.dequantize().to(dtype)
                setattr(module, name, nn.Parameter(plain, requires_grad=False))
