"""Rows of data sets opened by the library `datasets`: from the hub, `save_to_disk`, or Arrow files.

Other local files are ordinary inputs; see `data_files`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from prism_cli.adapters.datasets.files import KINDS, files_of_split
from prism_cli.errors import MissingDataError
from prism_cli.rows.records import record_line

_SAVED = ("dataset_dict.json", "state.json")


class DatasetRows:
    """A source of rows: one split, streamed.

    Args:
        path: a folder written by `save_to_disk`, an Arrow file or a folder of them, or a name on
            the hub.
        split: split of the data set; an Arrow file belongs to any split, see `files_of_split` for
            those of a folder.
        config: configuration of a hub data set.
        revision: commit or tag of a hub data set.

    Raises:
        MissingDataError: the data set cannot be found or opened, or has no such split.
    """

    def __init__(
        self, path: str, split: str, *, config: str | None = None, revision: str | None = None
    ) -> None:
        self.name = f"{path}/{split}"
        self.files: list[Path] = []
        with _opening(path):
            rows, source = self._open(path, split, config, revision)
            self._rows = rows.with_format(None)  # saved data sets may be set to return numpy arrays
        self.fingerprint = sha256(
            repr((path, split, config, revision, source)).encode()
        ).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Yield one JSON row per record, as `record_line` writes it; values without a JSON form
        (bytes, images) are written as their `str`."""
        with _opening(self.name):
            for row in self._rows:
                yield record_line(row, str)

    def _open(
        self, path: str, split: str, config: str | None, revision: str | None
    ) -> tuple[Any, str]:
        import datasets

        place = Path(path)
        if is_saved(place):
            saved: Any = datasets.load_from_disk(path)
            if isinstance(saved, datasets.DatasetDict):
                if split not in saved:
                    raise MissingDataError(_no_split(path, split, list(saved)))
                saved = saved[split]
            self.files = sorted(place.rglob("*.arrow"))
            return saved, saved._fingerprint
        if place.exists():
            self.files = _arrow_files(place, split)
            files = [str(file) for file in self.files]
            builder: Any = datasets.load_dataset_builder("arrow", data_files={split: files})
        else:
            builder = datasets.load_dataset_builder(path, config, revision=revision)
            splits = list(builder.info.splits or ())
            if splits and split not in splits:
                raise MissingDataError(_no_split(path, split, splits))
        return builder.as_streaming_dataset(split=split), str(builder.hash)


def is_saved(place: Path) -> bool:
    """Return True if the folder was written by `save_to_disk`."""
    return any((place / name).is_file() for name in _SAVED)


def _arrow_files(place: Path, split: str) -> list[Path]:
    candidates = [place] if place.is_file() else sorted(place.rglob("*"))
    files = [file for file in candidates if file.suffix == ".arrow" and file.is_file()]
    if not files:
        kinds = ", ".join([".arrow", *(names[0] for names in KINDS)])
        raise MissingDataError(
            f"{place}: no data set; expected a folder of save_to_disk, or files with suffix {kinds}"
        )
    return files if place.is_file() else files_of_split(place, files, split)


def _no_split(path: str, split: str, splits: list[Any]) -> str:
    return f"{path}: no split {split!r}; it has {', '.join(map(str, splits))}"


@contextmanager
def _opening(path: str) -> Iterator[None]:
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    offline = " (not contacted: HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    try:
        yield
    except (DatasetNotFoundError, DatasetGenerationError, OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise MissingDataError(
            f"{path}: cannot be read: {first}. Expected a folder, a file, or a data set of the "
            f"hub{offline}"
        ) from error
