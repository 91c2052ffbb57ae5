"""The outputs of a run that are left alone while others are worked, told together at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from prism_cli.errors import (
    ChangedInputError,
    LockedError,
    MissingDataError,
    PrismError,
    RefusedOutputsError,
    UnfitNameError,
    UsageError,
)
from prism_cli.wording import counted

CONCERNS_ONE = (ChangedInputError, LockedError, MissingDataError, UnfitNameError)
"""Errors that are those of one output, and keep no other from being worked."""
_CHANGED = (
    "made from other input or with other settings (--if-changed redo makes them again, with the "
    "replies that are in the ledger; so does --overwrite)"
)
_NOT_OURS = "not as prism wrote them (--overwrite replaces them)"
_LOCKED = "held by another run (the same command works them when it has ended)"
_UNREADABLE = "with an input that cannot be read"
_STRADDLING = (
    "with part of a query alone, as other rows of it stand in another file, where they would be "
    "ranked by themselves (put the rows of a query in one file; or name one file with -o, into "
    "which all are merged; or, where these are rankings of their own, run one file at a time)"
)
_UNFIT = "with names that cannot be used"
_OTHER = "that could not be worked"
_NAMES = 5
"""Outputs that are named of those with the same reason."""
_REASONS = 20
"""Reasons that are told of each kind."""


@dataclass(frozen=True)
class Refusal:
    """One output that was left alone.

    Attributes:
        kind: what is the matter and what to do about it, as a heading over several.
        reasons: a line each.
    """

    output: str
    kind: str
    reasons: tuple[str, ...]
    exit_code: int


@dataclass
class Refusals:
    """Those of one run."""

    found: list[Refusal] = field(default_factory=list)

    def add(self, output: str, error: PrismError) -> None:
        """Note what keeps an output from being worked; one of CONCERNS_ONE."""
        kind, reasons = _OTHER, [str(error)]
        if isinstance(error, ChangedInputError) and error.reasons:
            kind, reasons = _CHANGED if error.redo else _NOT_OURS, error.reasons
        elif isinstance(error, LockedError):
            kind, reasons = _LOCKED, []
        elif isinstance(error, MissingDataError):
            kind = _UNREADABLE
        elif isinstance(error, UnfitNameError):
            kind = _UNFIT
        self.found.append(Refusal(output, kind, tuple(reasons), error.exit_code))

    def add_straddling(self, output: str, queries: Sequence[str]) -> None:
        """Note that rows of `queries`, a line each, stand in the shards of several outputs."""
        self.found.append(Refusal(output, _STRADDLING, tuple(queries), UsageError.exit_code))

    def error(self, outputs: int, worked: int) -> RefusedOutputsError | None:
        """All of them as one error, of a run with so many outputs; None where there are none.

        Args:
            worked: of the outputs; what was neither worked nor refused was finished before.
        """
        if not self.found:
            return None
        codes = {one.exit_code for one in self.found}
        count = len(self.found)
        finished = outputs - count - worked
        if worked and finished > 0:
            others = f"; {worked:,} worked, {finished:,} finished before"
        else:
            others = "; the others were " + ("worked" if worked else "finished before")
        others = others if count < outputs else ""
        left = "was left as it is" if count == 1 else "were left as they are"
        lines = [f"{count:,} of {counted(outputs, 'output')} {left}{others}"]
        for kind in dict.fromkeys(one.kind for one in self.found):
            lines.append(f"{kind}:")
            lines += _told([one for one in self.found if one.kind == kind])
        return RefusedOutputsError("\n".join(lines), min(codes))


def _told(refusals: Sequence[Refusal]) -> list[str]:
    by_reasons: dict[tuple[str, ...], list[str]] = {}
    for one in refusals:
        by_reasons.setdefault(one.reasons, []).append(one.output)
    lines: list[str] = []
    for reasons, outputs in list(by_reasons.items())[:_REASONS]:
        more = [f"and {len(outputs) - _NAMES:,} more"] if len(outputs) > _NAMES else []
        names = ", ".join(outputs[:_NAMES] + more)
        lines.append(f"  {names}" + (f": {reasons[0]}" if reasons else ""))
        lines += [f"    {reason}" for reason in reasons[1:]]
    if len(by_reasons) > _REASONS:
        left = sum(map(len, list(by_reasons.values())[_REASONS:]))
        lines.append(f"  and {left:,} more")
    return lines
