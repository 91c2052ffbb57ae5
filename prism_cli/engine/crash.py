"""Crash points for tests: kill the process, as by kill -9, at a named point.

PRISM_CRASH_AT=POINT or POINT:N kills this process when it reaches POINT for the N-th time (from 1).
Points are the arguments of `crash_point` calls. Without the variable nothing happens.
"""

import os
import signal
from collections import Counter

_WANTED, _, _TIMES = os.environ.get("PRISM_CRASH_AT", "").partition(":")
_PASSED: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill the process if PRISM_CRASH_AT names this point."""
    if name == _WANTED:
        _PASSED[name] += 1
        if _PASSED[name] == int(_TIMES or 1):
            os.kill(os.getpid(), signal.SIGKILL)
