"""Errors that prism raises, with the exit code of each.

PrismError
├── UsageError                 2   the command line is invalid
│   ├── ConfigError            2   a recipe, prism.toml or --set is wrong; carries all problems
│   ├── ChangedInputError      2   what made an existing output changed; carries the difference
│   ├── InvalidNameError       2   a file's name cannot be written to a manifest, or is too long
│   └── ArgumentError          2   a Python caller passed an invalid value; also a ValueError
├── PrerequisiteError          3   something the machine or the user must provide first
│   ├── MissingPackageError    3   an extra is not installed; carries the install line
│   ├── MissingDataError       3   an input, recipe data or corpus is missing or empty
│   │   └── NothingMeasuredError 3/4   an evaluation has no row to measure, or all were rejected
│   ├── ModelError             3   a model, tokenizer or checkpoint cannot be used
│   └── StorageError           3   a disk is full or a path cannot be written
│       └── DamagedFileError   3   a file of prism was changed or damaged
│           └── LostRepliesError 3   the ledger lacks paid replies
├── ProviderError              5   a backend failed temporarily; the row stays pending
│   └── ShardLostError         5   a shard cost too many workers; it stays pending
├── EngineLostError            6   the cluster that hands out shards is gone
├── LimitReachedError          7   --max-cost or --max-seconds
├── LockedError               75   another run holds the output
├── RefusedOutputsError   2/3/75   some outputs of a run were refused, the others were processed
├── InterruptedRunError  130/143   stopped by SIGINT or SIGTERM
├── LostProcessError           6   another process of a training ended without an error
├── OtherProcessError    its own   another process of a training reported the error
└── StepError            its own   a command of a pipeline failed

Three more, which never leave the engine: RowError (a row is rejected, with field and reason),
SkippedRowError (a rule drops a row) and RefusalError (a backend's final refusal of a request).

Messages say where, what was expected, what was found, what happens now, what to do.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

_CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
"""The tested versions; only a checkout has this file."""
REJECTS_EXIT_CODE = 4
"""More rows were rejected than --max-rejects allows; the run itself is complete."""


class PrismError(Exception):
    """An error whose message is written for the person at the terminal; can be pickled, whatever
    the arguments of its class."""

    exit_code = 1

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[PrismError], args: tuple[object, ...], state: Mapping[str, object]
) -> PrismError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(PrismError):
    """The command line is invalid."""

    exit_code = 2


class ConfigError(UsageError):
    """Settings are invalid; all problems are reported at once.

    Args:
        problems: one line each, with file and key first.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class ChangedInputError(UsageError):
    """An output exists that was made from other input or settings; nothing was written.

    Args:
        reasons: differences, one line each.
        redo: True if the output itself is unchanged, so that it can be made again.
        settings: True if settings or the stage differ.
    """

    def __init__(
        self,
        message: str,
        *,
        reasons: Sequence[str] = (),
        redo: bool = False,
        settings: bool = False,
    ) -> None:
        self.reasons = list(reasons)
        self.redo, self.settings = redo, settings
        super().__init__(message)


class InvalidNameError(UsageError):
    """The name of an input or output cannot be used; the file must be renamed."""


class ArgumentError(UsageError, ValueError):
    """A Python caller passed an invalid argument, which the message names."""


class PrerequisiteError(PrismError):
    """Something is missing that the command needs before it can start."""

    exit_code = 3


class MissingPackageError(PrerequisiteError):
    """A library of an extra is not installed.

    Args:
        package: import or distribution name of the missing package.
        extra: the extra of prism-cli that installs it.
        pinned: False where the library pins torch and transformers itself.
        where: the input that needs it; "" for the command.
        otherwise: appended to the message: how to do without it.
    """

    def __init__(
        self, package: str, extra: str, *, pinned: bool = True, where: str = "", otherwise: str = ""
    ) -> None:
        how = ": pip install" if pinned else ", in an environment of its own: pip install"
        if pinned and _CONSTRAINTS.is_file():
            how += f" -c {shlex.quote(str(_CONSTRAINTS))}"
        what = f"{where}: this" if where else "this"
        super().__init__(
            f"{what} needs {package}, which is not installed; run{how} "
            f"'prism-cli[{extra}]'{otherwise}"
        )


class MissingDataError(PrerequisiteError):
    """An input does not exist, or is empty."""


class NothingMeasuredError(MissingDataError):
    """An evaluation has no row to measure, so it publishes no figures.

    Args:
        where: the inputs.
        rows, rejected: counts.
        too_many: True if more rows were rejected than --max-rejects allows.
    """

    def __init__(self, where: str, rows: int, rejected: int, *, too_many: bool) -> None:
        self.exit_code = REJECTS_EXIT_CODE if too_many else MissingDataError.exit_code
        found = f"{rejected:,} of {rows:,} rejected" if rejected else "expected rows, found none"
        super().__init__(f"{where}: no row to measure: {found}; no report was made")


class ModelError(PrerequisiteError):
    """A model, tokenizer or checkpoint cannot be loaded, or does not fit its role."""


class StorageError(PrerequisiteError):
    """The file system refused a write (disk full, quota, permission)."""


def stdout_refused(error: OSError) -> StorageError:
    """Return the error of a failed write to standard output."""
    return StorageError(
        f"standard output: cannot be written: {error.strerror or error}; what was written to it is "
        "incomplete. Make room there, or name a file with -o, then run the same command again"
    )


class DamagedFileError(StorageError):
    """A ledger or batch store is damaged; the message says how to repair it."""


class LostRepliesError(DamagedFileError):
    """The ledger lacks replies that earlier attempts paid for; no request was sent."""


class ProviderError(PrismError):
    """A backend could not answer; the rows of its requests stay pending.

    Attributes:
        billed: the call may have been billed nevertheless.
    """

    exit_code = 5
    billed = False


class ShardLostError(ProviderError):
    """A shard cost as many workers as it may; its rows stay pending."""


class EngineLostError(PrismError):
    """The cluster that hands shards to workers is gone."""

    exit_code = 6


class LimitReachedError(PrismError):
    """A limit on cost or time was reached."""

    exit_code = 7


class LockedError(PrismError):
    """Another run works on the same output."""

    exit_code = 75


class OtherCommandError(PrismError):
    """A command that makes other outputs is at work in the same folder; this run ends."""

    exit_code = LockedError.exit_code

    def __init__(self, place: object, process: object, host: object) -> None:
        super().__init__(
            f"{place}: process {process} of {host} makes outputs of another command or of other "
            "settings in this folder. This one stops without touching them. Name another folder "
            "with -o, or run it when the other has ended"
        )


class RefusedOutputsError(PrismError):
    """Some outputs of a run were refused and left unchanged; the message names them and the remedy.

    Args:
        exit_code: 2 if something changed, 3 if an input cannot be read, else 75.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class InterruptedRunError(PrismError):
    """A signal stopped the run; committed results are kept.

    Args:
        signal_number: 2 (SIGINT) or 15 (SIGTERM); the exit code is 128 + that.
    """

    def __init__(self, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__("stopped by signal; the same command goes on where this one stopped")


class LostProcessError(PrismError):
    """Another process of a distributed training has ended, or cannot be reached."""

    exit_code = 6


class OtherProcessError(PrismError):
    """Another process of a distributed training reported an error, so that this one stops, too.

    Args:
        process: its node and rank.
        message, exit_code: of the error.
    """

    def __init__(self, process: str, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(f"{process}: {message}")


class StepError(PrismError):
    """A command of a pipeline failed and has printed its error.

    Args:
        command: as the user would type it.
        exit_code: of that command; prism exits with the same.
        onward: the command that continues from there.
    """

    def __init__(self, command: str, exit_code: int, onward: str) -> None:
        self.exit_code = exit_code
        super().__init__(f"`{command}` ended with exit code {exit_code}; `{onward}` goes on there")


class RowError(Exception):
    """One row cannot be used. The engine writes it to the rejects file, with file and line.

    Args:
        field: dotted path of the field, such as `documents[2].doc_id`; "" for the line as a whole.
        reason: the expected and the found value.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}" if field else reason)


class SkippedRowError(RowError):
    """A rule drops the row: the engine counts it as dropped, not as rejected."""


class RefusalError(Exception):
    """A backend refused one request for good; the ledger stores the reason."""


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error message, at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
