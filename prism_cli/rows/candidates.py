"""The second shape of a row to rerank: a query with its documents."""

from prism_cli.errors import RowError
from prism_cli.rows.row import OneText, Row, check_pair, json_type, string_field, text_id
from prism_cli.rows.texts import nul_fault, titled


def check_rerank_row(row: Row) -> None:
    """Hold `row` against both shapes: a pair, or a query with documents.

    Raises:
        RowError: names the field, such as `documents[2].text`.
    """
    if "documents" in row:
        string_field(row, "query", blank=False)
        for name in ("query_id", "original_query"):
            string_field(row, name, required=False)
        candidates(row)
    else:
        check_pair(row)


def candidates(row: Row) -> list[tuple[str, str]]:
    """(doc_id, text with its title in front) of a row's `documents`, in order.

    Raises:
        RowError: not an array; an entry that is neither a string nor {"text", "doc_id", "title"}; a
            doc_id that comes with two texts.
    """
    documents = row["documents"]
    if not isinstance(documents, list):
        raise RowError("documents", f"expected an array, found {json_type(documents)}")
    found, texts = [], OneText()
    for index, one in enumerate(documents):
        where = f"documents[{index}]"
        if isinstance(one, str):
            if "\0" in one:
                raise RowError(where, nul_fault(one))
            found.append((text_id(one), one))
            continue
        if not isinstance(one, dict):
            raise RowError(where, f"expected a string or an object, found {json_type(one)}")
        try:
            text = string_field(one, "text")
            title = string_field(one, "title", required=False)
            name = string_field(one, "doc_id", required=False)
        except RowError as error:
            raise RowError(f"{where}.{error.field}", error.reason) from None
        whole = titled(title, text)
        if name:
            texts.check(name, whole, f"{where}.doc_id")
        found.append((name or text_id(whole), whole))
    return found
