"""The attacks of hostile_documents.py, and their places in a document."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

PLACES = ("start", "middle", "end")
CONTROL = "control"


@dataclass(frozen=True)
class Family:
    """Attacks of one kind.

    Attributes:
        wordings: with the placeholders of the data file.
        only: the one verdict that it can ask for; None: either.
    """

    name: str
    wordings: tuple[str, ...]
    only: str | None = None


@dataclass(frozen=True)
class Attack:
    """One text that goes into one document.

    Attributes:
        family: CONTROL for a harmless text.
        wording: its number in the family; of a control, its length in characters.
        place: one of PLACES.
    """

    family: str
    wording: int
    place: str
    text: str

    @property
    def chinese(self) -> bool:
        """Whether the text is Chinese."""
        return any("\u4e00" <= letter <= "\u9fff" for letter in self.text)


class Attacks:
    """Content of the data file."""

    def __init__(self) -> None:
        path = Path(__file__).with_name("hostile_documents.toml")
        book = tomllib.loads(path.read_text(encoding="utf-8"))
        self.families = [
            Family(name, tuple(family["wordings"]), family.get("only"))
            for name, family in book["families"].items()
        ]
        self._words: dict[str, dict[str, str]] = book["words"]
        self._control = book["control"]["text"].strip()
        self._lengths: list[int] = book["control"]["lengths"]

    def on(self, query: str, number: int, verdict: str) -> list[Attack]:
        """Return one attack of each family that asks for `verdict`, and the controls.

        All are at one place. Wordings and places rotate over the documents.

        Args:
            number: of the document among those that are attacked.
        """
        place, turn = PLACES[number % len(PLACES)], number // len(PLACES)
        words = self._words[verdict] | {"query": query, "mark": _forged_mark(query)}
        attacks = [
            Attack(family.name, at, place, family.wordings[at].format_map(words))
            for family in self.families
            if family.only in (None, verdict)
            for at in [turn % len(family.wordings)]
        ]
        controls = [
            Attack(CONTROL, length, place, self._control[:length]) for length in self._lengths
        ]
        return attacks + controls

    def control_of(self, attack: Attack) -> int:
        """Return the control whose length is nearest to the attack's."""
        return nearest(self._lengths, len(attack.text))


def nearest(lengths: Sequence[int], length: int) -> int:
    """Return the item of `lengths` whose ratio to `length` is nearest to 1."""
    return min(lengths, key=lambda other_length: max(other_length / length, length / other_length))


def inserted(document: str, text: str, place: str) -> str:
    """Return the document with the text inserted on separate lines."""
    words = document.split(" ")
    cut = {"start": 0, "middle": len(words) // 2, "end": len(words)}[place]
    parts = " ".join(words[:cut]), text, " ".join(words[cut:])
    return "\n".join(part for part in parts if part)


def _forged_mark(query: str) -> str:
    """Return 12 hex digits like a fence's mark, different from any real one."""
    return sha256(f"forged {query}".encode()).hexdigest()[:12]
