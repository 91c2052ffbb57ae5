"""Rows for fine-tuning embedders, as in FlagEmbedding and KaLM: a query, pos[] and neg[].

Optional lists are pos_scores, neg_scores, pos_id, neg_id. A query may include its instruction, as
[instruction, query] or as "Instruct: … Query: …" (KaLM), which becomes the field `instruction`.
An item is a string, or an object {doc_id, title, document or text, source_label, negative}.
"""

import re
from typing import Any

from prism_cli.adapters.shapes.base import (
    GRADES,
    LABEL_FIELDS,
    TEXT_FIELDS,
    LabelWriter,
    Reader,
    ShapeSettings,
    make_pair,
    rest,
)
from prism_cli.errors import RowError
from prism_cli.rows.fields import SOURCE_TEXTS
from prism_cli.rows.ids import id_text
from prism_cli.rows.row import Row, json_type, string_field

_SIDES = {"pos": True, "neg": False}
_LISTS = {f"{side}{end}" for side in _SIDES for end in ("", "_scores", "_id", "_ids")}
_KNOWN = {"query", "query_id"} | _LISTS
_ITEM_FIELDS = ("source_label", "negative", *SOURCE_TEXTS)
_INSTRUCTED = re.compile(r"\s*Instruct:(.*?)\n[^\S\n]*Query:(.*)", re.DOTALL)
_OF_A_DOCUMENT = {
    "negative", "teacher_scores", "teacher_score", "votes", "vote_probabilities", "verdict",
    "votes_cast", "agreement", "audit", "audit_share", "abstained", "posterior", "teacher_prior",
    "stop", "early_verdict", "early_votes_cast", "contribution", "evidence", "generator",
    "generation_error", "objectives", "score", "logit", "rank", "format_ok", "truncated",
    "predicted_verdict", "predicted_contribution", "predicted_evidence", "fused_score",
    "source_score", "source_rank", *SOURCE_TEXTS,
}  # fmt: skip
"""Fields of documents; never written once per query, even if all its rows have the same value."""


class FlagEmbeddingReader(Reader):
    """Reads a pair per positive, then per negative."""

    def __init__(self, settings: ShapeSettings) -> None:
        self._score = settings.score_field("source_score")

    def read(self, row: Row) -> list[Row]:
        """Return the pairs of one row.

        Raises:
            RowError: a field is invalid; names it, such as `pos[1]` or `neg_scores`.
        """
        if not _SIDES.keys() & row.keys():
            raise RowError("pos", "expected pos and neg (lists of documents), found neither")
        common = rest(row, _KNOWN)
        instruction, query = _query(row.get("query"))
        head = {"query": query, "query_id": row.get("query_id")}
        string_field(head, "query", blank=False)
        string_field(head, "query_id", required=False)
        if instruction:
            common.setdefault("instruction", instruction)
        if "document" in row:
            raise RowError(
                "document", "present together with pos or neg; expected only one of them"
            )
        documents = [document for side in _SIDES for document in self._documents(row, side)]
        return [make_pair(head, document, common) for document in documents]

    def _documents(self, row: Row, side: str) -> list[Row]:
        items = row.get(side)
        if isinstance(items, str):
            items = [items]
        if items is None:
            items = []
        if not isinstance(items, list):
            raise RowError(side, f"expected a list of documents, found {json_type(items)}")
        documents = [_document(item, side, index) for index, item in enumerate(items)]
        for name in (f"{side}_id", f"{side}_ids", f"{side}_scores"):
            values = row.get(name)
            if not values:
                continue
            if not isinstance(values, list) or len(values) != len(documents):
                raise RowError(name, f"expected a list of {len(documents)}, one for each of {side}")
            for index, (document, value) in enumerate(zip(documents, values, strict=True)):
                if name.endswith("_scores"):
                    self._score.put(document, value, f"{name}[{index}]")
                elif value is not None:
                    document["doc_id"] = _identifier(value, f"{name}[{index}]")
        return documents


class FlagEmbeddingWriter(LabelWriter):
    """Writes adjacent rows of a query as one row, with scores if all of them have one."""

    grouped = True

    def __init__(self, settings: ShapeSettings) -> None:
        super().__init__(settings)
        self._score = settings.score_field("source_score")

    def check(self, row: Row) -> str | None:
        """Check the label, and the score if there is one."""
        self._score.of(row)
        return super().check(row)

    def write(self, rows: list[Row]) -> list[Row]:
        """Return one row, or none without a positive, as trainers sample one of `pos`."""
        sides: dict[str, list[Row]] = {"pos": [], "neg": []}
        for row in rows:
            sides["pos" if self.positive(row) else "neg"].append(row)
        if not sides["pos"]:
            self.figures["queries without a positive, left out"] += 1
            return []
        if not sides["neg"]:
            self.figures["queries without a negative"] += 1
        shared = _shared(rows)
        written = {"query": rows[0]["query"]}
        written |= {side: [self.whole_text(row) for row in half] for side, half in sides.items()}
        carried = TEXT_FIELDS | LABEL_FIELDS | {"doc_id"} | shared.keys()
        if all(self._score.of(row) is not None for row in rows):
            carried |= {self._score.row_field}
            written |= {f"{side}_scores": list(map(self._score.of, sides[side])) for side in _SIDES}
        if any(row.get("doc_id") for row in rows):
            written |= {f"{side}_id": [row.get("doc_id") for row in sides[side]] for side in _SIDES}
        for row in rows:
            self.leave_out(row, carried)
            grade = row.get("source_label")
            if grade is not None and str(grade) != GRADES[bool(self.positive(row))]:
                self.left_out["source_label, beyond yes and no"] += 1
        return [written | shared]


def _query(value: Any) -> tuple[str, Any]:
    """Return (instruction or "", query)."""
    if isinstance(value, list):
        if len(value) not in (1, 2):
            raise RowError("query", f"expected [instruction, query], found {len(value)} items")
        wrong = next((item for item in value if not isinstance(item, str)), None)
        if wrong is not None:
            raise RowError("query", f"expected a list of strings, found {json_type(wrong)} in it")
        return (value[0] if len(value) == 2 else ""), value[-1]
    split = _INSTRUCTED.match(value) if isinstance(value, str) else None
    return (split[1].strip(), split[2].strip()) if split else ("", value)


def _document(item: Any, side: str, index: int) -> Row:
    place = f"{side}[{index}]"
    if isinstance(item, str):
        document: Row = {"document": item}
    elif isinstance(item, dict):
        document = {name: item[name] for name in ("doc_id", "title") if name in item}
        document["document"] = item.get("document", item.get("text"))
        document |= {name: item[name] for name in _ITEM_FIELDS if name in item}
    else:
        raise RowError(place, f"expected a string or an object, found {json_type(item)}")
    for name, value in document.items():
        if not isinstance(value, str):
            raise RowError(f"{place}.{name}", f"expected a string, found {json_type(value)}")
    document.setdefault("source_label", GRADES[_SIDES[side]])
    return document


def _identifier(value: Any, place: str) -> str:
    identifier = id_text(value, place)
    if not isinstance(identifier, str):
        raise RowError(place, f"expected a string, found {json_type(value)}")
    return identifier


def _shared(rows: list[Row]) -> Row:
    """Return the fields of the query: those that all rows have with the same value."""
    first = rows[0]
    return {
        name: value
        for name, value in first.items()
        if name not in TEXT_FIELDS | LABEL_FIELDS | _OF_A_DOCUMENT | {"doc_id"} | _LISTS
        and all(name in row and row[name] == value for row in rows[1:])
    }
