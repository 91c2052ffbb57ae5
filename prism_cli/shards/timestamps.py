"""Timestamps of the ledger and of the store of batches."""

import time


def now_ms() -> int:
    """Return the milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
