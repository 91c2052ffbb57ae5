"""Reasons why rows are pending or rejected, with similar reasons counted as one."""

import re
from collections import Counter
from collections.abc import Mapping

from prism_cli.rows.row import Rejected

_VARYING = re.compile(r"(?<!status )\b[\w.:-]*\d[\w.:-]*")
"""Seconds, times of day and request ids, but not a status."""

_MOST_EXAMPLES = 3


class RejectExamples(dict[str, str]):
    """Place of the first rejected row by reason, of at most three reasons."""

    def add(self, rejected: Rejected) -> None:
        """Add a rejected row if its reason is among the first."""
        reason = f"{rejected.field}: {rejected.reason}" if rejected.field else rejected.reason
        self.add_all({reason: str(rejected.ref)})

    def add_all(self, others: Mapping[str, str]) -> None:
        """Add examples while there are fewer than three."""
        for reason, place in others.items():
            if len(self) < _MOST_EXAMPLES:
                self.setdefault(reason, place)


class Reasons(Counter[str]):
    """Rows by reason. Reasons that differ only in numbers and ids count as one; the part up to the
    first colon, which names who failed, must be equal.
    """

    def add(self, reason: str, rows: int = 1) -> None:
        """Count `rows` more for this reason."""
        if reason not in self:
            shape = _shape(reason)
            reason = next((known for known in self if _shape(known) == shape), reason)
        self[reason] += rows


def _shape(reason: str) -> tuple[str, str]:
    who, _, why = reason.partition(": ")
    return who, _VARYING.sub("#", why)
