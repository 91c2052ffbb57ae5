"""Lists of byte strings on disk."""

import os
import tempfile
import weakref
from abc import abstractmethod
from array import array
from collections.abc import Sequence
from typing import overload

from prism_cli.shards.spill import close_spill, spill_errors


class StoredParts(Sequence[bytes]):
    """Byte strings of which each access reads one."""

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self.read_part(place) for place in range(*index.indices(len(self)))]
        return self.read_part(index)

    @abstractmethod
    def read_part(self, index: int) -> bytes:
        """Return one byte string; raise IndexError as a list does."""


class SpilledParts(StoredParts):
    """Byte strings in a temporary file, which is deleted with the object."""

    def __init__(self) -> None:
        with spill_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, close_spill, self._file)
        self._ends = array("Q", [0])

    def append(self, part: bytes) -> None:
        """Add a byte string.

        Raises:
            StorageError: the folder for temporary files is full.
        """
        with spill_errors():
            self._file.seek(0, os.SEEK_END)
            self._file.write(part)
            self._file.flush()
        self._ends.append(self._ends[-1] + len(part))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def read_part(self, index: int) -> bytes:
        """Return one byte string."""
        start, end = self._ends[index], self._ends[index + 1]
        self._file.seek(start)
        return self._file.read(end - start)
