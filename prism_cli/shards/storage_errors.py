"""Conversion of failed writes, through whichever library, to StorageError."""

import re
import sqlite3

from prism_cli.errors import StorageError

_AGAIN = "Make room, then run the same command again"
_TORCH_SAVE = re.compile(r"StreamWriter|iostream|unexpected pos")
"""Texts in the RuntimeError of a failed torch.save."""


class storage_errors:
    """Context manager that raises StorageError for a failed write; a StorageError passes unchanged.

    Args:
        name: name of the file, for the message.
        so_far: what is kept, such as "the checkpoint before it is whole".
        problem: the problem, before the reason of the system.
        advice: what to do.
    """

    def __init__(
        self, name: object, so_far: str, problem: str = "cannot be written", advice: str = _AGAIN
    ) -> None:
        self._message = f"{name}: {problem}: {{}}; {so_far}. {advice}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is not None and _is_refused_write(error):
            raise StorageError(self._message.format(reason(error))) from error


def reason(error: BaseException) -> str:
    """Return the first line of an error; of an OSError without number and file."""
    message = getattr(error, "strerror", None) or str(error)
    return message.splitlines()[0] if message else type(error).__name__


def _is_refused_write(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return bool(_TORCH_SAVE.search(str(error)))
    if type(error) is Exception:  # tokenizers has no type of its own
        return "os error" in str(error)
    by_type = isinstance(error, OSError | sqlite3.Error)
    return by_type or type(error).__name__ == "SafetensorError"  # loaded by the caller, if at all
