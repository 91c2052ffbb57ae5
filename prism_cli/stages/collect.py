"""Rows of any of three shapes to pair rows.

{query, pos, neg}: one pair for each positive, then for each negative. An item is a text, or an
object {doc_id, title, document or text, source_label, negative}. Pair rows pass as they are.
"""

from collections import Counter
from typing import Any

from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Outcome
from prism_cli.rows.row import (
    Dropped,
    Row,
    check_pair,
    doc_id,
    document_text,
    json_type,
    query_id,
    string_field,
)

_SIDES = {"pos": "1", "neg": "0"}
_SPREAD = {
    name for side in _SIDES for name in (side, f"{side}_scores", f"{side}_id", f"{side}_ids")
}
_ITEM_FIELDS = ("source_label", "negative")


class CollectStage(RowStage):
    """Spreads lists of documents into pairs.

    Args:
        source: written as `source` where a row has none; None to leave it out.
    """

    name = "collect"

    def __init__(self, source: str | None = None) -> None:
        self._source = source
        self._figures: Counter[str] = Counter()

    def check(self, row: Row) -> None:
        """A query, and either a document or documents to spread."""
        string_field(row, "query", blank=False)
        if "pos" in row or "neg" in row:
            if "document" in row:
                raise RowError("document", "stands beside pos or neg; a row has one or the other")
        elif "document" in row:
            check_pair(row)
        else:
            raise RowError(
                "pos", "expected pos and neg (lists of documents) or document, found neither"
            )

    def work(self, row: Row) -> Outcome:
        """The pairs of one row."""
        if "document" in row:
            if self._source is not None:
                row.setdefault("source", self._source)
            self._figures["pairs as they were"] += 1
            return row
        sides = {side: _documents(row, side) for side in _SIDES}
        if not sides["pos"]:
            return Dropped("no positive")
        known = {_same(document_text(one)) for one in sides["pos"]}
        kept = []
        for one in sides["neg"]:
            if _same(document_text(one)) in known:
                self._figures["negatives equal to a positive, left out"] += 1
            else:
                kept.append(one)
        self._figures["positives"] += len(sides["pos"])
        self._figures["negatives"] += len(kept)
        common = {
            name: value
            for name, value in row.items()
            if name not in _SPREAD and name not in ("query", "query_id")
        }
        if self._source is not None:
            common.setdefault("source", self._source)
        head = {"query_id": query_id(row), "query": row["query"]}
        return [_pair(head, one, common) for one in (*sides["pos"], *kept)]

    def summary(self) -> dict[str, object]:
        """How many of each."""
        return {"pairs": dict(self._figures)} if self._figures else {}


def _pair(head: Row, one: Row, common: Row) -> Row:
    pair = {**head, "doc_id": doc_id(one)}
    if "title" in one:
        pair["title"] = one["title"]
    pair["document"] = one["document"]
    pair |= common
    pair["source_label"] = one["source_label"]
    pair |= {name: one[name] for name in ("source_score", "negative") if name in one}
    return pair


def _documents(row: Row, side: str) -> list[Row]:
    """The documents of one side, as rows with document, source_label and what else is known."""
    items = row.get(side)
    if isinstance(items, str):
        items = [items]
    if items is None:
        items = []
    if not isinstance(items, list):
        raise RowError(side, f"expected a list of documents, found {json_type(items)}")
    found = [_document(item, side, index) for index, item in enumerate(items)]
    for name, field in ((f"{side}_scores", "source_score"), (f"{side}_id", "doc_id")):
        values = row.get(name)
        if not values:
            continue
        if not isinstance(values, list) or len(values) != len(found):
            raise RowError(name, f"expected a list of {len(found)}, one for each of {side}")
        for one, value in zip(found, values, strict=True):
            one[field] = str(value) if field == "doc_id" else value
    return found


def _document(item: Any, side: str, index: int) -> Row:
    place = f"{side}[{index}]"
    if isinstance(item, str):
        one: Row = {"document": item}
    elif isinstance(item, dict):
        one = {name: item[name] for name in ("doc_id", "title", *_ITEM_FIELDS) if name in item}
        one["document"] = item.get("document", item.get("text"))
    else:
        raise RowError(place, f"expected a string or an object, found {json_type(item)}")
    for name in ("document", "doc_id", "title", *_ITEM_FIELDS):
        if name in one and not isinstance(one[name], str):
            raise RowError(f"{place}.{name}", f"expected a string, found {json_type(one[name])}")
    one.setdefault("source_label", _SIDES[side])
    return one


def _same(text: str) -> str:
    return " ".join(text.split()).casefold()
