"""Every error that prism raises on purpose, and the exit code that each ends in.

PrismError
├── UsageError                 2   the command line does not make sense
│   └── ConfigError            2   a recipe, prism.toml or --set is wrong; carries all problems
│   ├── ChangedInputError      2   what made an existing output changed; carries the difference
│   ├── UnfitNameError         2   a file's name that cannot stand in a manifest, or is too long
│   └── ArgumentError          2   what a Python caller passed cannot be; also a ValueError
├── PrerequisiteError          3   something the machine or the user must provide first
│   ├── MissingPackageError    3   an extra is not installed; carries the install line
│   ├── MissingDataError       3   an input, recipe data or corpus is not there or has nothing in it
│   │   └── NothingMeasuredError 3/4   an evaluation has no row to measure, or all were rejected
│   ├── ModelError             3   a model, tokenizer or checkpoint cannot be used
│   └── StorageError           3   a disk is full or a path cannot be written
│       └── DamagedFileError   3   a file of ours is not as it was written
│           └── LostRepliesError 3   the ledger lacks replies that were paid for
├── ProviderError              5   a backend failed for now; the row stays pending
├── LimitReachedError          7   --max-cost or --max-seconds
├── LockedError               75   another run holds the output
├── RefusedOutputsError   2/3/75   some outputs of a run were left alone, the others were worked
├── InterruptedRunError  130/143   stopped by SIGINT or SIGTERM
└── StepError             as said   a command of a pipeline ended badly

Three more, which never leave the engine: RowError (a row is rejected, with field and reason),
SkippedRowError (a row is left out by rule) and
RefusalError (a backend's final word on one request).

Messages say where, what was expected, what was found, what happens now, what to do.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

_CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
"""The tested versions; there in a checkout alone."""


class PrismError(Exception):
    """An error whose message is written for the person at the terminal."""

    exit_code = 1


class UsageError(PrismError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """Settings are wrong; all problems are told at once.

    Args:
        problems: one line each, with file and key first.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class ChangedInputError(UsageError):
    """An output exists that other bytes or another config made; nothing was touched.

    Args:
        reasons: what is not as it was, a line each.
        redo: whether the output is as it was made, so that it can be made again.
    """

    def __init__(self, message: str, *, reasons: Sequence[str] = (), redo: bool = False) -> None:
        self.reasons = list(reasons)
        self.redo = redo
        super().__init__(message)


class UnfitNameError(UsageError):
    """The name of an input or output cannot be worked with; the file is to be renamed."""


class ArgumentError(UsageError, ValueError):
    """What a caller from Python passed cannot be; names it."""


class PrerequisiteError(PrismError):
    """Something must be there before the command can start."""

    exit_code = 3


class MissingPackageError(PrerequisiteError):
    """A library of an extra is not installed.

    Args:
        package: the import or distribution name that is missing.
        extra: the extra of prism-cli that brings it.
        pinned: False where the library pins torch and transformers itself.
        where: the input that needs it; "" for the command.
        otherwise: how to do without it.
    """

    def __init__(
        self, package: str, extra: str, *, pinned: bool = True, where: str = "", otherwise: str = ""
    ) -> None:
        how = ": pip install" if pinned else ", in an environment of its own: pip install"
        if pinned and _CONSTRAINTS.is_file():
            how += f" -c {shlex.quote(str(_CONSTRAINTS))}"
        what = f"{where}: this" if where else "this"
        told = f"{what} needs {package}, which is not installed; run{how} 'prism-cli[{extra}]'"
        super().__init__(f"{told}{otherwise}")


class MissingDataError(PrerequisiteError):
    """An input path does not exist, or holds nothing to work on."""


class NothingMeasuredError(MissingDataError):
    """An evaluation has no row to measure, so it publishes no figures.

    Args:
        where: the inputs.
        rows, rejected: how many there were.
        too_many: whether more were rejected than --max-rejects lets pass.
    """

    def __init__(self, where: str, rows: int, rejected: int, *, too_many: bool) -> None:
        self.exit_code = 4 if too_many else 3
        found = f"{rejected:,} of {rows:,} rejected" if rejected else "expected rows, found none"
        super().__init__(f"{where}: no row to measure: {found}; no report was made")


class ModelError(PrerequisiteError):
    """A model, tokenizer or checkpoint cannot be loaded or is not fit for its role."""


class StorageError(PrerequisiteError):
    """The file system refused a write (disk full, quota, permission)."""


def stdout_refused(error: OSError) -> StorageError:
    """What is told where standard output takes no more."""
    return StorageError(
        f"standard output: cannot be written: {error.strerror or error}; what was written to it is "
        "incomplete. Make room there, or name a file with -o, then run the same command again"
    )


class DamagedFileError(StorageError):
    """A ledger or a book of batches is not as it was written; says what can be done."""


class LostRepliesError(DamagedFileError):
    """The ledger lacks replies that earlier attempts paid for; nothing was asked."""


class ProviderError(PrismError):
    """A backend could not answer now; what it was asked stays pending."""

    exit_code = 5


class LimitReachedError(PrismError):
    """A limit on cost or time was reached."""

    exit_code = 7


class LockedError(PrismError):
    """Another run works on the same output."""

    exit_code = 75


class RefusedOutputsError(PrismError):
    """Of the outputs of one run some were left as they are; names them and the way out.

    Args:
        exit_code: 2 where something changed, 3 where an input cannot be read, else 75.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class InterruptedRunError(PrismError):
    """A signal stopped the run; what was committed stays.

    Args:
        signal_number: 2 (SIGINT) or 15 (SIGTERM); the exit code is 128 + that.
    """

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__("stopped by signal; the same command goes on where this one stopped")


class StepError(PrismError):
    """A command of a pipeline ended badly, and has said why.

    Args:
        command: as the user would type it.
        exit_code: its exit code, which becomes this one's.
        onward: the command that goes on from there.
    """

    def __init__(self, command: str, exit_code: int, onward: str) -> None:
        self.exit_code = exit_code
        super().__init__(f"`{command}` ended with exit code {exit_code}; `{onward}` goes on there")


class RowError(Exception):
    """One row cannot be used. The engine sets it aside with file and line.

    Args:
        field: dotted path of the field, such as `documents[2].doc_id`; "" for the line as a whole.
        reason: what was expected and what was found.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}" if field else reason)


class SkippedRowError(RowError):
    """A row that is left out by rule: the engine counts it as dropped, not as rejected."""


class RefusalError(Exception):
    """A backend's final word on one request; kept in the ledger with its reason."""


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error message, at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
