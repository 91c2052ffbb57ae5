"""Ids that a data set does not have: those of a run, or of judgements, of another set."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from prism_cli.errors import MissingDataError

_SHOWN = 3
_OTHER = {"queries": "data set", "documents": "corpus"}
MEASURED = {
    "queries": "they are not measured",
    "documents": "they keep their places, as not relevant, and no model reads them",
}
LEFT_OUT = dict.fromkeys(MEASURED, "they are left out")


@runtime_checkable
class ListedIds(Protocol):
    """A first stage that reads a file of unknown origin.

    Attributes:
        path: the file.
        warning: a warning about the whole file, set by `listed`; "" for none.
    """

    path: Path
    warning: str

    def listed(self, queries: Container[str]) -> tuple[dict[str, int], dict[str, int]]:
        """Return all query ids, and the document ids of `queries`, each with the first line that
        has it.

        Raises:
            MissingDataError: a line is invalid.
        """


def unknown_ids_message(name: str, what: str, ids: Sequence[str], then: str) -> str:
    """Return one line: the number of ids, the first three, and the consequence."""
    return f"{name}: {len(ids)} {what}, such as {', '.join(ids[:_SHOWN])}; {then}"


def check_listed_ids(
    first_stage: object,
    name: str,
    queries: Callable[[], Iterable[tuple[str, ...]]],
    documents: Callable[[], Iterable[tuple[str, ...]]],
    report: Callable[[str], None],
    then: Mapping[str, str] = MEASURED,
) -> dict[str, int]:
    """Compare the ids of a run with a data set, and report those that it does not have.

    Args:
        first_stage: checked only if it is a file.
        name: name of the data set.
        queries, documents: return all entries of the set, the id first. Without any document, the
            run's document ids are not checked.
        report: called with each message.
        then: the consequence for unknown queries and documents.

    Returns:
        run_unknown_queries, run_unknown_documents; {} for a first stage that is not checked.

    Raises:
        MissingDataError: the set has none of the run's queries, or none of their documents.
    """
    if not isinstance(first_stage, ListedIds):
        return {}
    query_ids = {query_id for query_id, *_ in queries()}
    all_queries, all_documents = first_stage.listed(query_ids)
    if first_stage.warning:
        report(first_stage.warning)
    remaining, corpus = dict(all_documents), False
    for doc_id, *_ in documents():
        remaining.pop(doc_id, None)
        corpus = True
    unknown = {
        "queries": {value: line for value, line in all_queries.items() if value not in query_ids},
        "documents": remaining if corpus else {},
    }
    for kind, total in (("queries", len(all_queries)), ("documents", len(all_documents))):
        ids = unknown[kind]
        shown = [
            f"{first_stage.path}:{line}: {value!r}" for value, line in list(ids.items())[:_SHOWN]
        ]
        if ids and len(ids) == total:
            raise MissingDataError(
                f"{name}: it holds none of the {total} {kind} of {first_stage.path}, such as "
                f"{', '.join(shown)}; is it a run over another {_OTHER[kind]}?"
            )
        if ids:
            report(
                f"{name}: {len(ids)} of the {total} {kind} of {first_stage.path} are not among its "
                f"{kind}, such as {', '.join(shown)}; {then[kind]}"
            )
    return {f"run_unknown_{kind}": len(ids) for kind, ids in unknown.items()}
