"""The second shape of a row to rerank: a query with its documents."""

from prism_cli.errors import RowError
from prism_cli.rows.row import OneText, Row, check_pair, json_type, string_field, text_id
from prism_cli.rows.texts import nul_fault, titled


def check_rerank_row(row: Row) -> None:
    """Check `row` against both shapes: a pair, or a query with documents.

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
    """Return (doc_id, text with its title) of a row's `documents`, in order.

    Raises:
        RowError: not an array; an entry that is neither a string nor {"text", "doc_id", "title"}; a
            doc_id with two texts.
    """
    documents = row["documents"]
    if not isinstance(documents, list):
        raise RowError("documents", f"expected an array, found {json_type(documents)}")
    pairs, texts = [], OneText()
    for index, document in enumerate(documents):
        path = f"documents[{index}]"
        if isinstance(document, str):
            if "\0" in document:
                raise RowError(path, nul_fault(document))
            pairs.append((text_id(document), document))
            continue
        if not isinstance(document, dict):
            raise RowError(path, f"expected a string or an object, found {json_type(document)}")
        try:
            text = string_field(document, "text")
            title = string_field(document, "title", required=False)
            name = string_field(document, "doc_id", required=False)
        except RowError as error:
            raise RowError(f"{path}.{error.field}", error.reason) from None
        full_text = titled(title, text)
        if name:
            texts.check(name, full_text, f"{path}.doc_id")
        pairs.append((name or text_id(full_text), full_text))
    return pairs
