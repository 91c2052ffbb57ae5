"""Token budget of a batch: a fixed number on a CPU, what the memory allows on a GPU.

On a CPU, speed hardly changes above 1,024 tokens (`tests/benchmarks/rerank_growth.py`), and a
number that does not depend on time keeps outputs identical after a kill.
"""

from collections.abc import Callable, Sequence

import torch

from prism_cli.adapters.runtimes.batch_plan import PROMPT_SHARE
from prism_cli.errors import ModelError
from prism_cli.modeling.forward_pass import ForwardPass
from prism_cli.modeling.prefix_cache import PrefixCache

CPU_BATCH_TOKENS = 2048
OTHER_BATCH_TOKENS = 32_768
"""Budget on devices whose free memory cannot be queried."""
LEAST, MOST = 1024, 262_144
_PROBES = (512, 2048)
"""Tokens of the two probe batches."""
_ROW = 128
_SHARE = 0.7
"""Share of free memory that a batch may use: kernels need different amounts of workspace."""


class CudaMemory:
    """Memory of one CUDA device in bytes, measured by torch's allocator."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free(self) -> int:
        """Return the bytes that may still be allocated: the driver's free and the allocator's
        unused ones."""
        unused = torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        return torch.cuda.mem_get_info(self._device)[0] + unused

    def peak(self, work: Callable[[], object]) -> int:
        """Return the peak bytes that `work` allocates on top of what is already allocated."""
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        work()
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device) - before


def batch_budget(forward: ForwardPass, memory: CudaMemory | None = None) -> int:
    """Return the tail tokens of a batch: on CUDA a power of two, from two small probe batches.

    Args:
        memory: memory to measure; that of the pass's device by default.
    """
    if memory is None:
        if forward.device.type != "cuda":
            return CPU_BATCH_TOKENS if forward.device.type == "cpu" else OTHER_BATCH_TOKENS
        memory = CudaMemory(forward.device)
    with torch.inference_mode():
        state = forward.prefill([[0] * _ROW])[0]
        _batch(forward, state, _PROBES[-1])()  # kernels are compiled, libraries take workspace
        small, large = (memory.peak(_batch(forward, state, tokens)) for tokens in _PROBES)
    bytes_per_token = (large - small) / (_PROBES[1] - _PROBES[0]) + PROMPT_SHARE * _kept_bytes(
        state, forward.attention
    )
    room = _SHARE * memory.free() - small
    budget = int(max(room, 0) / max(bytes_per_token, 1))
    return min(max(1 << budget.bit_length() >> 1, LEAST), MOST)


def _batch(forward: ForwardPass, state: PrefixCache, tokens: int) -> Callable[[], object]:
    rows = tokens // _ROW
    return lambda: forward.extend([state] * rows, [[0] * _ROW] * rows, keep=False)


def _kept_bytes(state: PrefixCache, attention: Sequence[bool]) -> float:
    """Return the bytes of cached keys and values per prompt token."""
    kept = (
        part.numel() * part.element_size()
        for is_attention, layer in zip(attention, state.layers, strict=True)
        if is_attention
        for part in layer
    )
    return sum(kept) / state.length


def out_of_memory(tokens: int) -> ModelError:
    """Return the error that one prompt of so many tokens does not fit."""
    return ModelError(
        f"one prompt of {tokens} tokens does not fit the device's memory; lower --max-tokens, or "
        "use a smaller model or --dtype bfloat16"
    )
