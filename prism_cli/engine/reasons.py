"""Why rows are pending, so that equal reasons are one."""

import re
from collections import Counter

_VARYING = re.compile(r"(?<!status )\b[\w.:-]*\d[\w.:-]*")
"""Seconds, times of day and request ids; not a status."""


class Reasons(Counter[str]):
    """Rows by reason; a reason that differs from a known one in numbers and ids alone is that one.

    Who failed, up to the first colon, counts as it stands.
    """

    def add(self, reason: str, rows: int = 1) -> None:
        """`rows` more for this reason."""
        if reason not in self:
            shape = _shape(reason)
            reason = next((one for one in self if _shape(one) == shape), reason)
        self[reason] += rows


def _shape(reason: str) -> tuple[str, str]:
    who, _, why = reason.partition(": ")
    return who, _VARYING.sub("#", why)
