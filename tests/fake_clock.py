"""An event loop in which waiting takes no time: its clock is set forward instead."""

import asyncio
import selectors
import time
from types import ModuleType, SimpleNamespace

import pytest


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class FakeClock(asyncio.SelectorEventLoop):
    """Event loop whose time is also that of some modules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        self._fake = _Selector()
        super().__init__(self._fake)
        fake = SimpleNamespace(
            **vars(time) | dict.fromkeys(("monotonic", "perf_counter"), self.time)
        )
        for module in modules:
            monkeypatch.setattr(module, "time", fake)

    def time(self) -> float:
        """Return the seconds that were waited so far."""
        return self._fake.now
