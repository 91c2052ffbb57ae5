"""Record of the store in a staging folder: `.OUT.store.json`."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from prism_cli.shards.remote.store import ObjectState
from prism_cli.shards.writer import whole_file

States = dict[str, ObjectState | None]


@dataclass
class StoreRecord:
    """States of the objects of a job, as they were last seen or written.

    Attributes:
        states: by name; None where there is no object.
        manifest: SHA-256 of the manifest in the store, as hex; "" while the folder has another.
        shipped: SHA-256 of the outputs that were uploaded before their manifest, by name.
    """

    path: Path
    states: States
    manifest: str = ""
    shipped: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        """Write the file."""
        states = {name: asdict(state) if state else None for name, state in self.states.items()}
        content = {"states": states, "manifest": self.manifest, "shipped": self.shipped}
        with whole_file(self.path) as file:
            file.write(orjson.dumps(content))

    def set(self, name: str, state: ObjectState | None) -> None:
        """Note and write the state of an object, which makes the manifest in the store outdated."""
        self.states[name], self.manifest = state, ""
        self.write()

    def knows(self, states: Mapping[str, ObjectState | None]) -> bool:
        """Return whether the store is as this record says; versions are not compared, since a list
        lacks them."""
        return _conditions(self.states) == _conditions(states)


def read_store_record(path: Path) -> StoreRecord | None:
    """Return the record at `path`; None if there is none."""
    with suppress(FileNotFoundError, orjson.JSONDecodeError):
        stored = orjson.loads(path.read_bytes())
        states = stored["states"].items()
        known = {name: ObjectState(**state) if state else None for name, state in states}
        return StoreRecord(path, known, stored["manifest"], stored.get("shipped", {}))
    return None


def _conditions(states: Mapping[str, ObjectState | None]) -> dict[str, tuple[int, str]]:
    return {name: (state.size, state.etag) for name, state in states.items() if state}
