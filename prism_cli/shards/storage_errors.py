"""Writes that the disk refuses, through whichever library, as one error."""

import re
import sqlite3

from prism_cli.errors import StorageError

_AGAIN = "Make room, then run the same command again"
_TORCH_SAVE = re.compile(r"StreamWriter|iostream|unexpected pos")
"""Marks of a failed write in the plain RuntimeError of torch.save."""


class storage_errors:
    """A refused write in the block raises a StorageError; one raised in it stays as it is.

    Args:
        place: the file, or what else is written.
        so_far: what is still good, such as "the checkpoint before it is whole".
        problem: what went wrong.
        advice: what to do.
    """

    def __init__(
        self, place: object, so_far: str, problem: str = "cannot be written", advice: str = _AGAIN
    ) -> None:
        self._message = f"{place}: {problem}: {{}}; {so_far}. {advice}"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is not None and _is_refused_write(error):
            raise StorageError(self._message.format(reason(error))) from error


def reason(error: BaseException) -> str:
    """The first line of an error; of an OSError without its number and file."""
    said = getattr(error, "strerror", None) or str(error)
    return said.splitlines()[0] if said else type(error).__name__


def _is_refused_write(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return bool(_TORCH_SAVE.search(str(error)))
    if type(error) is Exception:  # tokenizers has no type of its own
        return "os error" in str(error)
    known = isinstance(error, OSError | sqlite3.Error)
    return known or type(error).__name__ == "SafetensorError"  # loaded by the caller, if at all
