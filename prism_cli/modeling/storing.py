"""Writes of other libraries that the disk refuses, as one error."""

import re
from pathlib import Path

from safetensors import SafetensorError

from prism_cli.errors import StorageError

_TORCH_SAVE = re.compile(r"StreamWriter|iostream|unexpected pos")
"""How torch.save tells of a write that failed, in a plain RuntimeError."""


class storing:
    """A write that the disk refuses, by whichever library, is a StorageError that names `path`.

    Args:
        so_far: what is still good, such as "the checkpoint before it is whole".
    """

    def __init__(self, path: Path, so_far: str) -> None:
        self._path, self._so_far = path, so_far

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if error is not None and _is_the_disks(error):
            raise StorageError(
                f"{self._path}: cannot be written: {str(error).splitlines()[0]}; {self._so_far}. "
                "Make room, then run the same command again"
            ) from error


def _is_the_disks(error: BaseException) -> bool:
    if isinstance(error, RuntimeError):
        return bool(_TORCH_SAVE.search(str(error)))
    if type(error) is Exception:  # tokenizers has no type of its own
        return "os error" in str(error)
    return isinstance(error, OSError | SafetensorError | StorageError)
