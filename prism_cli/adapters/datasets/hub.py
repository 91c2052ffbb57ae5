"""Rows of a data set that the library `datasets` opens: of the hub, saved to disk, or Arrow files.

Other local files are inputs like any other; see `data_files`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from prism_cli.adapters.datasets.files import KINDS
from prism_cli.errors import MissingDataError
from prism_cli.rows.records import record_line

_SAVED = ("dataset_dict.json", "state.json")


class DatasetRows:
    """A source of rows: one split, streamed.

    Args:
        path: a folder that `save_to_disk` made, an Arrow file or a folder of them, or a name on
            the hub.
        split: its split; Arrow files are of any.
        config: configuration of a hub data set.
        revision: its commit or tag.

    Raises:
        MissingDataError: it cannot be found or opened, or has no such split.
    """

    def __init__(
        self, path: str, split: str, *, config: str | None = None, revision: str | None = None
    ) -> None:
        self.name = f"{path}/{split}"
        self.files: list[Path] = []
        with _opening(path):
            rows, made_of = self._open(path, split, config, revision)
            self._rows = rows.with_format(None)  # saved data sets may stand for arrays of numpy
        self.fingerprint = sha256(
            repr((path, split, config, revision, made_of)).encode()
        ).hexdigest()

    def lines(self) -> Iterator[bytes]:
        """One JSON row a record, as `record_line` writes it; what JSON has no form for (bytes,
        images) becomes its text."""
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
            self.files = _arrow_files(place)
            files = [str(file) for file in self.files]
            builder: Any = datasets.load_dataset_builder("arrow", data_files={split: files})
        else:
            builder = datasets.load_dataset_builder(path, config, revision=revision)
            known = list(builder.info.splits or ())
            if known and split not in known:
                raise MissingDataError(_no_split(path, split, known))
        return builder.as_streaming_dataset(split=split), str(builder.hash)


def is_saved(place: Path) -> bool:
    """Whether `save_to_disk` made the folder."""
    return any((place / name).is_file() for name in _SAVED)


def _arrow_files(place: Path) -> list[Path]:
    candidates = [place] if place.is_file() else sorted(place.rglob("*"))
    files = [file for file in candidates if file.suffix == ".arrow" and file.is_file()]
    if not files:
        kinds = ", ".join([".arrow", *(names[0] for names in KINDS)])
        raise MissingDataError(
            f"{place}: no data set; expected a folder of save_to_disk, or files that end in {kinds}"
        )
    return files


def _no_split(path: str, split: str, known: list[Any]) -> str:
    return f"{path}: no split {split!r}; it has {', '.join(map(str, known))}"


@contextmanager
def _opening(path: str) -> Iterator[None]:
    from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError

    offline = ", which is not asked (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else ""
    try:
        yield
    except (DatasetNotFoundError, DatasetGenerationError, OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise MissingDataError(
            f"{path}: cannot be read: {first}. Expected a folder, a file, or a data set of the "
            f"hub{offline}"
        ) from error
