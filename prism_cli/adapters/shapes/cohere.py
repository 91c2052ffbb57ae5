"""A query with its documents, as in the APIs of Cohere and Jina and in `prism rerank`.

{query, documents: ["…" or {doc_id, title, text, …}]}; a reply also has `results`,
[{index, relevance_score, …}], best first. This shape can hold all fields of pair rows.
"""

from typing import Any

from prism_cli.adapters.shapes.base import Reader, Writer, make_pair, rest
from prism_cli.errors import RowError
from prism_cli.rows.candidates import check_rerank_row
from prism_cli.rows.results import OPTIONAL_FIELDS, RESULT_FIELDS
from prism_cli.rows.row import Row, json_type, number_field

_KNOWN = ("query", "query_id", "documents", "results")
_PREDICTIONS = RESULT_FIELDS | OPTIONAL_FIELDS | {"truncated": "truncated"}
_OF_THE_QUERY = ("query_id", "query", "original_query", "query_style", "source", "split")


class CohereReader(Reader):
    """Reads each document as a pair row, with its result if there is one."""

    def read(self, row: Row) -> list[Row]:
        """Return the pairs, in the documents' order.

        Raises:
            RowError: a field is invalid; names it, as `documents[2].text` or `results[0].index`.
        """
        if "documents" not in row:
            raise RowError("documents", "expected an array, found no such field")
        check_rerank_row(row)
        common = rest(row, _KNOWN)
        head = {name: row[name] for name in ("query_id", "query") if row.get(name)}
        results = _results(row)
        return [
            make_pair(head, _document(item, index) | results.get(index, {}), common)
            for index, item in enumerate(row["documents"])
        ]


class CohereWriter(Writer):
    """Writes adjacent rows of a query as one row, with fields of documents in the documents."""

    grouped = True

    def check(self, row: Row) -> str | None:
        """Check that no other field is called `text`."""
        if "text" in row:
            raise RowError("text", "this shape has the document under this name; rename the field")
        return None

    def write(self, rows: list[Row]) -> list[Row]:
        """Return one row."""
        shared = {
            name: rows[0][name]
            for name in _OF_THE_QUERY
            if name in rows[0] and all(row.get(name) == rows[0][name] for row in rows)
        }
        documents = [
            {
                "text" if name == "document" else name: value
                for name, value in row.items()
                if name not in shared
            }
            for row in rows
        ]
        return [shared | {"documents": documents}]


def _document(item: Any, index: int) -> Row:
    if isinstance(item, str):
        return {"document": item}
    if "document" in item:
        raise RowError(
            f"documents[{index}].document",
            "this shape has the document as `text`; rename the field",
        )
    return {"document" if name == "text" else name: value for name, value in item.items()}


def _results(row: Row) -> dict[int, Row]:
    """Return fields of pair rows by the document's index; `rank` is the position of the result."""
    results = row.get("results")
    if results is None:
        return {}
    if not isinstance(results, list):
        raise RowError("results", f"expected an array, found {json_type(results)}")
    by_index: dict[int, Row] = {}
    for rank, result in enumerate(results, 1):
        place = f"results[{rank - 1}]"
        if not isinstance(result, dict):
            raise RowError(place, f"expected an object, found {json_type(result)}")
        index = result.get("index")
        if type(index) is not int or not 0 <= index < len(row["documents"]) or index in by_index:
            raise RowError(
                f"{place}.index",
                f"expected the index of a document, each once, found {json_type(index)}",
            )
        name = f"{place}.relevance_score"
        number_field({name: result.get("relevance_score")}, name, float("-inf"), float("inf"))
        by_index[index] = {
            ours: result[theirs] for theirs, ours in _PREDICTIONS.items() if theirs in result
        } | {"rank": rank}
    return by_index
