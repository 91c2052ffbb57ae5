"""Ids that a data set does not hold: a run, or judgements, of another set."""

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
    """A first stage that is a file, written by somebody else."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def warning(self) -> str:
        """What is odd about the whole file, once `listed` has read it; "" for nothing."""

    def listed(self, queries: Container[str]) -> tuple[dict[str, int], dict[str, int]]:
        """All query ids, and the document ids of `queries`, each with the line that has it first.

        Raises:
            MissingDataError: a bad line.
        """


def unknown_told(name: str, what: str, ids: Sequence[str], then: str) -> str:
    """One line for people: how many there are, the first three, and what becomes of them."""
    return f"{name}: {len(ids)} {what}, such as {', '.join(ids[:_SHOWN])}; {then}"


def check_listed_ids(
    first_stage: object,
    name: str,
    queries: Callable[[], Iterable[tuple[str, ...]]],
    documents: Callable[[], Iterable[tuple[str, ...]]],
    tell: Callable[[str], None],
    then: Mapping[str, str] = MEASURED,
) -> dict[str, int]:
    """Hold a run's ids against a data set; tells of those that it does not hold.

    Args:
        first_stage: nothing is checked of one that is no file.
        name: of the data set.
        queries, documents: give all of the set, the id first. Where there is no document at all,
            nothing is said of the run's.
        tell: takes lines for people.
        then: what becomes of unknown queries and documents.

    Returns:
        run_unknown_queries, run_unknown_documents; {} where nothing was checked.

    Raises:
        MissingDataError: the set holds none of the run's queries, or none of their documents.
    """
    if not isinstance(first_stage, ListedIds):
        return {}
    known = {one for one, *_ in queries()}
    all_queries, all_documents = first_stage.listed(known)
    if first_stage.warning:
        tell(first_stage.warning)
    left, corpus = dict(all_documents), False
    for one, *_ in documents():
        left.pop(one, None)
        corpus = True
    unknown = {
        "queries": {one: line for one, line in all_queries.items() if one not in known},
        "documents": left if corpus else {},
    }
    for kind, total in (("queries", len(all_queries)), ("documents", len(all_documents))):
        ids = unknown[kind]
        shown = [f"{first_stage.path}:{line}: {one!r}" for one, line in list(ids.items())[:_SHOWN]]
        if ids and len(ids) == total:
            raise MissingDataError(
                f"{name}: it holds none of the {total} {kind} of {first_stage.path}, such as "
                f"{', '.join(shown)}; is it a run over another {_OTHER[kind]}?"
            )
        if ids:
            tell(
                f"{name}: {len(ids)} of the {total} {kind} of {first_stage.path} are not among its "
                f"{kind}, such as {', '.join(shown)}; {then[kind]}"
            )
    return {f"run_unknown_{kind}": len(ids) for kind, ids in unknown.items()}
