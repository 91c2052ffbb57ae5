"""A hook for tests: die as by kill -9 at a named point.

PRISM_CRASH_AT=POINT or POINT:N kills this process when it comes to POINT for the N-th time (from
1). The points are those of the calls of `crash_point`; unset, nothing happens.
"""

import os
import signal
from collections import Counter

_WANTED, _, _TIMES = os.environ.get("PRISM_CRASH_AT", "").partition(":")
_PASSED: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Die here, if the environment says so."""
    if name == _WANTED:
        _PASSED[name] += 1
        if _PASSED[name] == int(_TIMES or 1):
            os.kill(os.getpid(), signal.SIGKILL)
