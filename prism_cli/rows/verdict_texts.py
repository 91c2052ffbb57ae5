"""Verdict and texts of a pair, by a reranker or from its labels, in one form."""

from dataclasses import dataclass
from math import inf

from prism_cli.errors import RowError
from prism_cli.rows.candidates import check_rerank_row
from prism_cli.rows.contract import check_kinds
from prism_cli.rows.groundings import Grounding, read_grounding
from prism_cli.rows.results import pairs_of
from prism_cli.rows.row import (
    Row,
    doc_id,
    json_type,
    number_field,
    query_id,
    string_field,
    verdict_field,
)
from prism_cli.rows.texts import stripped, titled

SOURCES = ("auto", "predicted", "labels")
"""Origin of the texts: auto takes the prediction if a row has one, else the label."""
NO_VERDICT_TEXTS = "found no such field"
"""End of the reason for a row without anything to measure."""
_FIELDS = {
    True: ("predicted_verdict", "predicted_contribution", "predicted_evidence"),
    False: ("verdict", "contribution", "evidence"),
}
_ASKED = {True: ("format_ok",), False: ("generator", "generation_error")}


@dataclass(frozen=True, slots=True)
class VerdictTexts:
    """One pair with its verdict and texts.

    Attributes:
        title: "" without a title.
        body: the document without its title.
        predicted: True if verdict and texts are a reranker's; else they are the row's labels.
        verdict: from the same origin as the texts; texts without a verdict are a yes. None:
            undecided.
        contribution, evidence: "" without a text, and always without a yes.
        asked: True if texts were requested; False for verdicts alone, and where a limit on
            evidence excluded them.
        format_ok: True if both texts could be parsed; None without a yes, or without a request.
        label: the row's own verdict, if it has a prediction too.
        score: the reranker's score, in [0, 1]; rounded, see `logit`.
        logit: the reranker's logit; None where the row has none, and for a blank document.
        grounding: of a predicted evidence; None without one.
    """

    query_id: str
    doc_id: str
    query: str
    title: str
    body: str
    predicted: bool
    verdict: str | None
    contribution: str
    evidence: str
    asked: bool
    format_ok: bool | None
    label: str | None
    score: float | None
    logit: float | None
    grounding: Grounding | None = None

    @property
    def document(self) -> str:
        """The document as a model reads it."""
        return titled(self.title, self.body)


def read_verdict_texts(row: Row, source: str = "auto") -> VerdictTexts:
    """Read the verdict and texts of a pair row.

    Args:
        source: one of SOURCES.

    Raises:
        RowError: a field has another type, or nothing of `source` is in the row; names it.
    """
    predicted = source == "predicted" or (
        source == "auto" and any(name in row for name in _FIELDS[True])
    )
    names = _FIELDS[predicted]
    label = verdict_field(row)
    verdict = verdict_field(row, names[0])
    contribution, evidence = (
        stripped(string_field(row, name, required=False)) for name in names[1:]
    )
    if names[0] not in row and not evidence:
        _raise_missing(names[0], source)
    verdict = "yes" if verdict is None and evidence else verdict
    asked = any(name in row for name in (*names[1:], *_ASKED[predicted]))
    asked = asked and not (predicted and row.get("evidence_omitted"))
    format_ok = row.get("format_ok") if predicted else None
    if not isinstance(format_ok, bool | None):
        raise RowError("format_ok", f"expected true, false or null, found {json_type(format_ok)}")
    yes = verdict == "yes"
    if format_ok is None:
        format_ok = bool(contribution and evidence)
    return VerdictTexts(
        query_id=query_id(row),
        doc_id=doc_id(row),
        query=row["query"],
        title=row.get("title") or "",
        body=row["document"],
        predicted=predicted,
        verdict=verdict,
        contribution=contribution if yes else "",
        evidence=evidence if yes else "",
        asked=asked,
        format_ok=format_ok if yes and asked else None,
        label=label if predicted else None,
        score=number_field(row, "score", 0, 1),
        logit=number_field(row, "logit", -inf, inf),
        grounding=read_grounding(row) if predicted and yes and asked else None,
    )


def check_verdict_texts(row: Row, source: str) -> None:
    """Check that a pair, or each result of a query with documents, has a prediction or a label.

    Raises:
        RowError: names the field.
    """
    check_rerank_row(row)
    for pair in pairs_of(row):
        if "predicted_verdict" in pair:  # else they are fields of the user's own
            check_kinds(pair, ("rank", "fused_score"))
        read_verdict_texts(pair, source)


def _raise_missing(name: str, source: str) -> None:
    wanted = {
        "auto": "a prediction (predicted_verdict, as prism rerank writes it) or a label (verdict, "
        "as prism relabel writes it)",
        "predicted": "a prediction, as prism rerank writes it",
        "labels": "a label, as prism relabel writes it",
    }
    raise RowError(
        "predicted_verdict" if source == "auto" else name,
        f"expected {wanted[source]}, {NO_VERDICT_TEXTS}",
    )
