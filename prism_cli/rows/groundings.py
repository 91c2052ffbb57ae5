"""Grounding fields of a reranked pair: the model's own evidence, its origin, its citations."""

from dataclasses import dataclass

from prism_cli.errors import RowError
from prism_cli.rows.contract import check_kinds
from prism_cli.rows.row import Row

ORIGINS = ("generated", "selected", "repaired", "extracted")
_UNCHANGED = ("generated", "selected")
CITATIONS = "predicted_citations"


@dataclass(frozen=True, slots=True)
class Grounding:
    """Origin and sources of an evidence text.

    Attributes:
        origin: one of ORIGINS.
        generated: the text before grounding; "" where there was no usable one.
        cited: characters of the evidence that have a source.
        sources: the cited parts of title and document, in order.
    """

    origin: str
    generated: str
    cited: int
    sources: tuple[str, ...]


def read_grounding(row: Row) -> Grounding | None:
    """Read the grounding of a pair row; None for a row without one, as of `--grounding off`.

    Raises:
        RowError: a field has another type, or a citation is outside its text.
    """
    check_kinds(row, ("evidence_origin", "predicted_evidence", "evidence_generated", CITATIONS))
    origin = row.get("evidence_origin")
    if origin is None:
        return None
    if origin not in ORIGINS:
        raise RowError("evidence_origin", f"expected {', '.join(ORIGINS)}, found {origin!r}")
    evidence = row.get("predicted_evidence") or ""
    cited: set[int] = set()
    sources: set[tuple[str, int, int]] = set()
    for number, citation in enumerate(row.get(CITATIONS) or ()):
        path, field = f"{CITATIONS}[{number}]", citation["field"]
        cited.update(range(*_range(citation, "", evidence, path)))
        sources.add((field, *_range(citation, "source_", row.get(field) or "", path)))
    return Grounding(
        origin,
        evidence if origin in _UNCHANGED else row.get("evidence_generated") or "",
        len(cited),
        tuple(row[field][start:end] for field, start, end in sorted(sources)),
    )


def _range(citation: Row, prefix: str, text: str, path: str) -> tuple[int, int]:
    start, end = citation[f"{prefix}start"], citation[f"{prefix}end"]
    if 0 <= start < end <= len(text):
        return start, end
    raise RowError(
        f"{path}.{prefix}start",
        f"expected a range within {len(text)} characters, found {start} to {end}",
    )
