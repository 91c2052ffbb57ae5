"""Why rows are pending or rejected, so that equal reasons are one."""

import re
from collections import Counter
from collections.abc import Mapping

from prism_cli.rows.row import Rejected

_VARYING = re.compile(r"(?<!status )\b[\w.:-]*\d[\w.:-]*")
"""Seconds, times of day and request ids; not a status."""


_MOST_EXAMPLES = 3


class RejectExamples(dict[str, str]):
    """Reason -> place of the first rejected rows whose reasons differ; at most three."""

    def add(self, rejected: Rejected) -> None:
        """Keep it if it is among the first."""
        reason = f"{rejected.field}: {rejected.reason}" if rejected.field else rejected.reason
        self.add_all({reason: str(rejected.ref)})

    def add_all(self, others: Mapping[str, str]) -> None:
        """Keep those that are among the first."""
        for reason, place in others.items():
            if len(self) < _MOST_EXAMPLES:
                self.setdefault(reason, place)


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
