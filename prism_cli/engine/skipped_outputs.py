"""Outputs that a run leaves as they are while it processes others; reported together at the end."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from prism_cli.errors import (
    ChangedInputError,
    InvalidNameError,
    LockedError,
    MissingDataError,
    PrismError,
    RefusedOutputsError,
    ShardLostError,
    UsageError,
)
from prism_cli.wording import counted

OUTPUT_ERRORS = (ChangedInputError, LockedError, MissingDataError, InvalidNameError)
"""Errors that concern one output; the others are processed."""
_CHANGED = (
    "made from other input or with other settings (--if-changed redo makes them again, with the "
    "replies that are in the ledger; so does --overwrite)"
)
_OTHER_SETTINGS = (
    "made with other settings or by another command (name another folder with -o; --if-changed "
    "redo makes them again, with the replies that are in the ledger; --overwrite makes all again)"
)
_NOT_OURS = "not as prism wrote them (--overwrite replaces them)"
_LOCKED = "held by another run (run the same command when it has ended)"
_UNREADABLE = "with an input that cannot be read"
_SPLIT_QUERIES = (
    "with only part of a query, since its other rows are in another file, where they would be "
    "ranked by themselves (--sort-queries, or one file as -o, makes one output of all; where these "
    "are rankings of their own, run one file at a time). To write shards that do not cut a query, "
    "on which to run this:\n  {}\nOutputs"
)
_LOST = "given up, since too many workers were lost on them (rows are pending)"
_INVALID_NAME = "with names that cannot be used"
_OTHER = "that could not be worked"
_NAMES = 5
"""Most outputs listed with the same reason."""
_LINES = 10
"""Most lines of outputs and their reasons."""


@dataclass(frozen=True)
class SkippedOutput:
    """An output that was left as it is.

    Attributes:
        kind: problem and remedy, as a heading over several outputs.
        reasons: one line each.
    """

    output: str
    kind: str
    reasons: tuple[str, ...]
    exit_code: int


@dataclass
class SkippedOutputs:
    """Skipped outputs of one run."""

    items: list[SkippedOutput] = field(default_factory=list)

    def add(self, output: str, error: PrismError) -> None:
        """Add an output with one of OUTPUT_ERRORS."""
        kind, reasons = _OTHER, [str(error)]
        if isinstance(error, ChangedInputError) and error.reasons:
            changed = _OTHER_SETTINGS if error.settings else _CHANGED
            kind, reasons = changed if error.redo else _NOT_OURS, error.reasons
        elif isinstance(error, LockedError):
            kind, reasons = _LOCKED, []
        elif isinstance(error, MissingDataError):
            kind = _UNREADABLE
        elif isinstance(error, ShardLostError):
            kind = _LOST
        elif isinstance(error, InvalidNameError):
            kind = _INVALID_NAME
        self.items.append(SkippedOutput(output, kind, tuple(reasons), error.exit_code))

    def add_split_queries(self, output: str, queries: Sequence[str], mend: str) -> None:
        """Add an output that has part of `queries`, a line each, whose other rows are in other
        shards.

        Args:
            mend: the command that writes the inputs as shards of whole queries.
        """
        kind = _SPLIT_QUERIES.format(mend)
        self.items.append(SkippedOutput(output, kind, tuple(queries), UsageError.exit_code))

    @property
    def has_unfinished(self) -> bool:
        """True if another run works on an output, or one lost too many workers."""
        return any(output.kind in (_LOCKED, _LOST) for output in self.items)

    @property
    def has_other_settings(self) -> bool:
        """True if the folder holds outputs of another command or of other settings."""
        return any(output.kind == _OTHER_SETTINGS for output in self.items)

    def error(self, outputs: int, worked: int | None) -> RefusedOutputsError | None:
        """Return all outputs as one error; None if there are none.

        Args:
            outputs: number of outputs of the run.
            worked: number of outputs processed; the rest, except refused ones, was finished before.
            None: no output was begun, so that the folder does not hold two kinds of outputs.
        """
        if not self.items:
            return None
        codes = {output.exit_code for output in self.items}
        count = len(self.items)
        finished = outputs - count - (worked or 0)
        if worked is None:
            others = ", and no other was begun: a folder holds outputs of one kind"
        elif worked and finished > 0:
            others = f"; {worked:,} worked, {finished:,} finished before"
        else:
            others = "; the others were " + ("worked" if worked else "finished before")
        others = others if count < outputs else ""
        left = "was left as it is" if count == 1 else "were left as they are"
        lines = [f"{count:,} of {counted(outputs, 'output')} {left}{others}"]
        kinds = dict.fromkeys(output.kind for output in self.items)
        for kind in kinds:
            lines.append(f"{kind}:")
            of_kind = [output for output in self.items if output.kind == kind]
            lines += _lines(of_kind, max(2, _LINES // len(kinds)))
        return RefusedOutputsError("\n".join(lines), min(codes))


def _lines(outputs: Sequence[SkippedOutput], most: int) -> list[str]:
    """Return about `most` lines."""
    by_reasons: dict[tuple[str, ...], list[str]] = {}
    for output in outputs:
        by_reasons.setdefault(output.reasons, []).append(output.output)
    lines, left = list[str](), len(outputs)
    for reasons, names in by_reasons.items():
        if lines and len(lines) + max(1, len(reasons)) > most:
            break
        left -= len(names)
        more = [f"and {len(names) - _NAMES:,} more"] if len(names) > _NAMES else []
        shown = ", ".join(names[:_NAMES] + more)
        lines.append(f"  {shown}" + (f": {reasons[0]}" if reasons else ""))
        lines += [f"    {reason}" for reason in reasons[1:]]
    if left:
        folders = {os.path.dirname(output.output) or "." for output in outputs}
        see = f": {shlex.join(['prism', 'status', *folders])}" if len(folders) == 1 else ""
        lines.append(f"  and {left:,} more{see}")
    return lines
