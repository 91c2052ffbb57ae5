"""Errors of torch when memory runs out."""

import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return True if a device, or this machine's own memory, has no room for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
