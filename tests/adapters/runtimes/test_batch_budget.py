"""Batch budget in tokens by free device memory."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from prism_cli.adapters.runtimes.batch_budget import (
    CPU_BATCH_TOKENS,
    LEAST,
    MOST,
    OTHER_BATCH_TOKENS,
    batch_budget,
)
from prism_cli.modeling.prefix_cache import PrefixCache

KEPT = 2 * 2 * 3 * 8 * 4
"""Bytes that one prompt token keeps: 2 layers, keys and values of 3 heads by 8, float32."""


class Pass:
    """Counts the tokens of batches; one layer of three has no keys."""

    attention = (True, False, True)

    def __init__(self, device: str = "cuda") -> None:
        self.device = torch.device(device)
        self.tokens = 0

    def prefill(self, prefixes: list[list[int]]) -> list[PrefixCache]:
        (ids,) = prefixes
        keys = torch.zeros(3, len(ids), 8)
        return [PrefixCache([(keys, keys), (torch.zeros(99, 99), keys), (keys, keys)], len(ids))]

    def extend(
        self, states: list[PrefixCache], tails: list[list[int]], *, keep: bool
    ) -> tuple[Tensor, None]:
        assert not keep
        assert len(states) == len(tails)
        self.tokens = sum(map(len, tails))
        return torch.zeros(len(tails), 8), None


class Device:
    """Device with `free` bytes; a batch needs `base` bytes, and `a_token` for each token."""

    def __init__(self, forward: Pass, free: int, a_token: int, base: int = 1000) -> None:
        self._forward, self._free, self._a_token, self._base = forward, free, a_token, base

    def free(self) -> int:
        return self._free

    def peak(self, work: Callable[[], object]) -> int:
        work()
        return self._base + self._a_token * self._forward.tokens


@pytest.mark.parametrize(
    ("fits", "budget"),
    [(40_000, 32_768), (32_768, 32_768), (32_767, 16_384), (1, LEAST), (10**9, MOST)],
)
def test_budget_is_the_power_of_two_that_fits_beside_kept_keys(fits: int, budget: int) -> None:
    forward = Pass()
    a_token = 5000
    small = 1000 + a_token * 512
    # 7/10 of what is free hold the smaller batch's need and `fits` tokens, each with four prompts'.
    free = -(-(small + fits * (a_token + 4 * KEPT)) * 10 // 7)
    assert batch_budget(forward, Device(forward, free, a_token)) == budget  # type: ignore[arg-type]


def test_without_free_memory_the_budget_is_the_minimum() -> None:
    forward = Pass()
    assert batch_budget(forward, Device(forward, 0, 7)) == LEAST  # type: ignore[arg-type]


def test_the_budget_of_a_cpu_is_fixed() -> None:
    assert batch_budget(Pass("cpu")) == CPU_BATCH_TOKENS  # type: ignore[arg-type]
    assert batch_budget(Pass("mps")) == OTHER_BATCH_TOKENS  # type: ignore[arg-type]
