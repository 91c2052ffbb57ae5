"""Entity fidelity: numbers, dates, names and quotations of a text that occur in its document.

Rules without a model indicate invented content. They do not detect
- a single-word name at the beginning of a sentence, where every word is capitalized, except in
  English and German where wordfreq is installed,
- names in scripts without capitals, except Katakana, names with a middle dot, and quoted titles:
  such names are covered by citations alone, which report a sentence without enough words of the
  document. For Chinese, Japanese and Korean the share of neighbouring characters is reported beside
  the entities, outside their sum, since a faithful paraphrase has new ones, too,
- numbers in words below three, and those of languages that neither text2num nor Chinese numerals
  cover,
- wrong combinations of correct entities.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from prism_cli.domain.fact_source import fact_source
from prism_cli.domain.facts import CHARACTERS, facts, touches
from prism_cli.domain.plain_text import plain

CLASSES = ("number", "date", "name", "acronym", "quotation", "url")
_SHOWN_ENTITIES = 5


def figure_name(kind: str) -> str:
    """Return the name of a class's share among the figures of an evaluation."""
    return f"entity_fidelity_{kind.replace(' ', '_')}"


FIGURES = {kind: figure_name(kind) for kind in (*CLASSES, CHARACTERS)}
"""Class -> the name of its share, in the order of reports."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Entities of one text, and those found in its document.

    Attributes:
        total: distinct entities of the text by class, and pairs under CHARACTERS.
        found: those that occur in the document.
        missing: the entities that do not, verbatim from the text.
    """

    total: Counter[str]
    found: Counter[str]
    missing: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Share of the entities found in the document, from 0 to 1; None for a text without any."""
        total = sum(self.total[kind] for kind in CLASSES)
        return sum(self.found[kind] for kind in CLASSES) / total if total else None


@dataclass
class FidelityFigures:
    """Entities of many texts."""

    total: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def add(self, fidelity: Fidelity) -> None:
        """Add the entities of a text."""
        self.total += fidelity.total
        self.found += fidelity.found

    def merge(self, other: "FidelityFigures") -> None:
        """Add the entities of `other`."""
        self.total += other.total
        self.found += other.found

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per class that occurs, one for all classes, one for CHARACTERS."""
        lines = {kind: (kind,) for kind in CLASSES} | {"all": CLASSES, CHARACTERS: (CHARACTERS,)}
        rows: list[dict[str, Any]] = []
        for name, kinds in lines.items():
            total, found = (
                sum(counts[kind] for kind in kinds) for counts in (self.total, self.found)
            )
            if total or name == "all":
                share = round(found / total, 4) if total else None
                rows.append({"entities": name, "in texts": total, "found": found, "share": share})
        return rows


def entity_fidelity(text: str, document: str) -> Fidelity:
    """Find the entities of `text` in `document`, each counted once in its class."""
    source = fact_source(document)
    total: Counter[str] = Counter()
    found: Counter[str] = Counter()
    missing: list[str] = []
    seen: set[tuple[str, Any]] = set()
    plain_text = plain(text)
    new = source.new_sentences(plain_text)
    for kind, entity, shown, *span in facts(plain_text, source):
        if (kind, entity) in seen:
            continue
        seen.add((kind, entity))
        total[kind] += 1
        if not touches((span[0], span[1]), new) or source.holds(kind, entity):
            found[kind] += 1
        elif kind != CHARACTERS:
            missing.append(shown)
    return Fidelity(total, found, tuple(missing))


def fidelity_fault(evidence: str, document: str, least: float | None) -> str | None:
    """Return the problem of evidence below the least share of entities; None if there is none."""
    if least is None:
        return None
    fidelity = entity_fidelity(evidence, document)
    if fidelity.share is None or fidelity.share >= least:
        return None
    return f"fidelity {fidelity.share:.2f} below {least:g}, not in the document: " + ", ".join(
        fidelity.missing[:_SHOWN_ENTITIES]
    )
