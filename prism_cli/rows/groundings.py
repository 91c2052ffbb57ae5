"""Grounding fields of a reranked pair: the model's own evidence, its origin, its citations."""

from dataclasses import dataclass
from typing import Any

from prism_cli.errors import RowError
from prism_cli.rows.row import Row, json_type, string_field

ORIGINS = ("generated", "repaired", "extracted")
CITATIONS = "predicted_citations"


@dataclass(frozen=True, slots=True)
class Grounding:
    """Origin and sources of an evidence text.

    Attributes:
        origin: one of ORIGINS.
        generated: the model's own text; "" where it wrote no usable one.
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
    origin = row.get("evidence_origin")
    if origin is None:
        return None
    if origin not in ORIGINS:
        raise RowError("evidence_origin", f"expected {', '.join(ORIGINS)}, found {origin!r}")
    evidence = string_field(row, "predicted_evidence", required=False)
    generated = string_field(row, "evidence_generated", required=False)
    if origin == "generated":
        generated = evidence
    cited: set[int] = set()
    sources: list[tuple[str, int, int]] = []
    citations = row.get(CITATIONS) or []
    if not isinstance(citations, list):
        raise RowError(CITATIONS, f"expected an array, found {json_type(citations)}")
    for number, citation in enumerate(citations):
        path = f"{CITATIONS}[{number}]"
        start, end = _range(citation, "start", "end", evidence, path)
        field = citation.get("field")
        if field not in ("document", "title"):
            raise RowError(f"{path}.field", f"expected document or title, found {field!r}")
        source = string_field(row, field, required=False)
        cited.update(range(start, end))
        sources.append((field, *_range(citation, "source_start", "source_end", source, path)))
    texts = tuple(row[field][start:end] for field, start, end in sorted(set(sources)))
    return Grounding(origin, generated, len(cited), texts)


def _range(citation: Any, start: str, end: str, text: str, path: str) -> tuple[int, int]:
    if not isinstance(citation, dict):
        raise RowError(path, f"expected an object, found {json_type(citation)}")
    first, last = citation.get(start), citation.get(end)
    if type(first) is int and type(last) is int and 0 <= first < last <= len(text):
        return first, last
    raise RowError(
        f"{path}.{start}",
        f"expected a range within {len(text)} characters, found {first} to {last}",
    )
