"""Pair the systems of each run with those of the first run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_cli.domain.fusion import FUSED


@dataclass(frozen=True, slots=True)
class Column:
    """A system of a run.

    Attributes:
        name: as shown; no two columns share it.
        run: index of the run.
        system: "" where the run has no systems.
        against: index of its counterpart among the columns; None: it has none.
    """

    name: str
    run: int
    system: str
    against: int | None


def columns_of(runs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Column]:
    """Return a column for each system; its counterpart in the first run has its name, or its
    position among the models, or among those fused in the same way.

    A system with its counterpart's name and figures, such as the same first stage, is listed once.

    Args:
        runs: (name, shared figures by system).
    """
    first = runs[0][1]
    places = list(first)
    by_position = {position: place for place, (_, position) in enumerate(_positions(first))}
    pairs: list[tuple[int, str, int | None]] = [(0, name, None) for name in first]
    for number, (_, systems) in enumerate(runs[1:], 1):
        taken = {places.index(name) for name in systems if name in first}
        for name, position in _positions(systems):
            against = by_position.get(position)
            if name in first:
                if name and systems[name] == first[name]:
                    continue
                against = places.index(name)
            elif against in taken:
                against = None
            pairs.append((number, name, against))
    shown = _short([name for name, _ in runs])
    systems_named = [name for _, name, _ in pairs]
    return [
        Column(_title(name, shown[run], systems_named.count(name) > 1), run, name, against)
        for run, name, against in pairs
    ]


def _positions(systems: Iterable[str]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield each system with how it is fused, "" if it is not, and its position among such."""
    before = Counter[str]()
    for name in systems:
        kind = next((end for end in FUSED if name.endswith(end)), "")
        yield name, (kind, before[kind])
        before[kind] += 1


def _title(system: str, run: str, ambiguous: bool) -> str:
    if not system:
        return run
    return f"{system} ({run})" if ambiguous else system


def _short(names: Sequence[str]) -> list[str]:
    """Return last parts of paths if they are distinct, else the paths."""
    last = [name.rstrip("/").rpartition("/")[2] or name for name in names]
    return last if len(set(last)) == len(last) else list(names)
