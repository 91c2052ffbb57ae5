"""Fields that rows of a Parquet file lack: as all rows have all columns, the file's metadata says
where null stands for no field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

METADATA_KEY = b"prism.absent"


@dataclass(frozen=True)
class AbsentFields:
    """Fields of an object that are absent where they are null; stored as JSON.

    Attributes:
        names: such fields.
        inside: by name of a field that holds an object or a list: the same of the objects in it.
    """

    names: list[str] = field(default_factory=list)
    inside: Mapping[str, "AbsentFields"] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.names or self.inside)

    def remove_from(self, value: Any) -> None:
        """Remove absent fields from an object or from those in a list, in place."""
        if isinstance(value, list):
            for item in value:
                self.remove_from(item)
        elif isinstance(value, dict):
            for name in self.names:
                if value.get(name, "") is None:
                    del value[name]
            for name, inner in self.inside.items():
                if name in value:
                    inner.remove_from(value[name])


def absent_fields(metadata: dict[bytes, bytes] | None) -> AbsentFields | None:
    """Return the absent fields that the metadata of a schema names; None if it names none."""
    try:
        return _parsed(orjson.loads((metadata or {})[METADATA_KEY]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # written by another program


def _parsed(stored: Any) -> AbsentFields:
    inside = {name: _parsed(inner) for name, inner in stored["inside"].items()}
    return AbsentFields([str(name) for name in stored["names"]], inside)
