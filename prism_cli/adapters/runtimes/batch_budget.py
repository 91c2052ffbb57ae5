"""How many tokens a batch may have: on a CPU a fixed number, on a GPU what its memory takes.

On a CPU speed hardly changes from 1,024 tokens on (`tests/benchmarks/rerank_growth.py`), and a
number that no clock decides keeps the promise of same bytes after a kill.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from prism_cli.adapters.runtimes.batch_plan import PROMPT_SHARE
from prism_cli.modeling.prefix_cache import BatchCache, PrefixCache

CPU_BATCH_TOKENS = 2048
OTHER_BATCH_TOKENS = 32_768
"""On devices whose memory cannot be asked for."""
LEAST, MOST = 1024, 262_144
_PROBES = (512, 2048)
"""Tokens of the two batches that are tried."""
_ROW = 128
_SHARE = 0.7
"""Of free memory that a batch may fill: kernels differ in what they need beside their results."""


class Memory(Protocol):
    """A device's memory, in bytes."""

    def free(self) -> int:
        """What may still be allocated."""

    def peak(self, work: Callable[[], object]) -> int:
        """What `work` needs at most, beside what is held before."""


class Forward(Protocol):
    """What DensePass and HybridPass have in common here."""

    attention: list[bool]
    device: torch.device

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> list[PrefixCache]: ...

    def extend(
        self, states: Sequence[PrefixCache], tails: Sequence[Sequence[int]], *, keep: bool
    ) -> tuple[Tensor, BatchCache | None]: ...


class CudaMemory:
    """That of one CUDA device, by torch's allocator."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free(self) -> int:
        """As the driver says, and what the allocator holds unused."""
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        return torch.cuda.mem_get_info(self._device)[0] + unused

    def peak(self, work: Callable[[], object]) -> int:
        """By the allocator's own counter."""
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        work()
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device) - before


def batch_budget(forward: Forward, memory: Memory | None = None) -> int:
    """Tail tokens of a batch: a power of two on CUDA, by two small batches that are tried.

    Args:
        memory: of the device, where it is not the pass's own.
    """
    if memory is None:
        if forward.device.type != "cuda":
            return CPU_BATCH_TOKENS if forward.device.type == "cpu" else OTHER_BATCH_TOKENS
        memory = CudaMemory(forward.device)
    with torch.inference_mode():
        state = forward.prefill([[0] * _ROW])[0]
        small, large = (memory.peak(_batch(forward, state, tokens)) for tokens in _PROBES)
    a_token = (large - small) / (_PROBES[1] - _PROBES[0]) + PROMPT_SHARE * _kept_bytes(
        state, forward.attention
    )
    room = _SHARE * memory.free() - small
    budget = int(max(room, 0) / max(a_token, 1))
    return min(max(1 << budget.bit_length() >> 1, LEAST), MOST)


def _batch(forward: Forward, state: PrefixCache, tokens: int) -> Callable[[], object]:
    rows = tokens // _ROW
    return lambda: forward.extend([state] * rows, [[0] * _ROW] * rows, keep=False)


def _kept_bytes(state: PrefixCache, attention: Sequence[bool]) -> float:
    """Bytes of keys and values that one prompt token keeps."""
    kept = (
        part.numel() * part.element_size()
        for is_attention, layer in zip(attention, state.layers, strict=True)
        if is_attention
        for part in layer
    )
    return sum(kept) / state.length
