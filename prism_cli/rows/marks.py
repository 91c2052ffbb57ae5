"""Annotations by the writers of a corpus."""

from typing import NamedTuple


class CorpusMarks(NamedTuple):
    """Annotations of a query and a document.

    Attributes:
        answerable: False if the document only seems to answer the query.
        contribution: "" if there is none.
        evidence: "" if there is none.
    """

    answerable: bool
    contribution: str
    evidence: str
