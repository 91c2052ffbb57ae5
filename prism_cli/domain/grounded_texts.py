"""The text fields of a result: contribution and evidence after grounding, with their citations."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypedDict

from prism_cli.domain.citations import Citation as CitedPart
from prism_cli.domain.citations import Cited, cite
from prism_cli.domain.evidence_budget import OFF, REPORT
from prism_cli.domain.extraction import joined_spans
from prism_cli.domain.grounding import GroundedDocument, grounded_document
from prism_cli.domain.token_estimate import estimate_tokens

Fields = dict[str, Any]


class Citation(TypedDict):
    """A part of a text, and what it rests on in the caller's string `field`: document or title."""

    start: int
    end: int
    field: str
    source_start: int
    source_end: int


class Texts(TypedDict, total=False):
    """Generated texts of a document; {} if none were requested.

    Attributes:
        contribution, evidence: None if no text was generated, or it could not be parsed.
        format_ok: True if both could be parsed from the model's own text and its evidence shares a
            word with the document (`shares_words`); None if no text was generated.
        citations, contribution_citations: what the texts rest on: {"start", "end", "field",
            "source_start", "source_end"}, ranges of the text and of the caller's string `field`.
        unsupported, contribution_unsupported: ranges of the texts that rest on nothing.
        evidence_origin: generated, selected, repaired or extracted. These five only with
            grounding, and None without a text.
        evidence_generated, contribution_generated: the model's own text, only where it differs.
        evidence_omitted: only with a limit on evidence: None if there is a text, else the reason:
            threshold, evidence_top, max_evidence_tokens, repeats, scattered, blank; and deadline.
        repeats: doc_id of the better document whose evidence says the same.
    """

    contribution: str | None
    evidence: str | None
    format_ok: bool | None
    citations: list[Citation] | None
    contribution_citations: list[Citation] | None
    unsupported: list[list[int]] | None
    contribution_unsupported: list[list[int]] | None
    evidence_origin: str | None
    evidence_generated: str | None
    contribution_generated: str | None
    evidence_omitted: str | None
    repeats: str


NO_CITATIONS: Fields = {
    "citations": None,
    "contribution_citations": None,
    "unsupported": None,
    "contribution_unsupported": None,
    "evidence_origin": None,
}
"""Fields of a document without texts."""


def grounded_texts(
    query: str,
    document: str,
    body: int,
    contribution: str | None,
    evidence: str | None,
    *,
    mode: str,
    counts: Counter[str],
    selected: Sequence[tuple[int, int]] = (),
) -> Fields:
    """Return the fields of texts that a model wrote about a document.

    Args:
        body: where a title before the document's text ends.
        contribution, evidence: None where the model wrote none.
        mode: one of GROUNDING.
        counts: gets selected, repaired, extracted and unsupported_facts.
        selected: places of the document's sentences that are the evidence; () if it is written.
    """
    counts["selected"] += bool(selected)
    if mode == OFF:
        return {"contribution": contribution, "evidence": evidence}
    grounds = grounded_document(document, body, query)
    if mode == REPORT:
        texts = (contribution, evidence)
        counts["unsupported_facts"] += sum(len(grounds.faults(text)) for text in texts if text)
        origin = "selected" if selected else "generated" if evidence else None
        return _fields(grounds, body, contribution, evidence, origin, selected)
    grounded = grounds.grounded(contribution, evidence, selected=bool(selected))
    counts["unsupported_facts"] += grounded.faults
    if grounded.origin in ("repaired", "extracted"):
        counts[grounded.origin] += 1
    fields = _fields(
        grounds, body, grounded.contribution, grounded.evidence, grounded.origin, selected
    )
    if grounded.evidence != evidence:
        fields["evidence_generated"] = evidence
    if grounded.contribution != contribution:
        fields["contribution_generated"] = contribution
    return fields


def extracted_texts(query: str, document: str, body: int) -> Fields:
    """Return the fields of the document's own closest sentences, without any model's text."""
    grounds = grounded_document(document, body, query)
    evidence = grounds.extract()
    return _fields(grounds, body, grounds.state(evidence), evidence, "extracted")


def estimated_tokens(fields: Fields) -> int:
    """Return the estimated tokens of both texts."""
    return estimate_tokens(fields["contribution"]) + estimate_tokens(fields["evidence"])


def _fields(
    grounds: GroundedDocument,
    body: int,
    contribution: str | None,
    evidence: str | None,
    origin: str | None,
    selected: Sequence[tuple[int, int]] = (),
) -> Fields:
    citations, unsupported = _cited(grounds, body, evidence, selected)
    contribution_citations, contribution_unsupported = _cited(grounds, body, contribution)
    return {
        "contribution": contribution,
        "evidence": evidence,
        "citations": citations,
        "contribution_citations": contribution_citations,
        "unsupported": unsupported,
        "contribution_unsupported": contribution_unsupported,
        "evidence_origin": origin,
    }


def _cited(
    grounds: GroundedDocument,
    body: int,
    text: str | None,
    selected: Sequence[tuple[int, int]] = (),
) -> tuple[list[Citation] | None, list[list[int]] | None]:
    """Return the citations of a text, in the caller's own strings, and its unsupported ranges.

    Args:
        selected: the text is these sentences of the document, joined.
    """
    if not text:
        return None, None
    if selected:
        places = zip(joined_spans(grounds.document, selected), selected, strict=True)
        cited = Cited([CitedPart(*place, *span) for place, span in places], [])
    else:
        cited = cite(text, grounds.document, body=body, query=grounds.query)
    citations: list[Citation] = []
    for start, end, source_start, source_end in cited.citations:
        field, offset = ("document", body) if source_start >= body else ("title", 0)
        citations.append(
            {
                "start": start,
                "end": end,
                "field": field,
                "source_start": source_start - offset,
                "source_end": source_end - offset,
            }
        )
    return citations, _merged([*cited.unsupported, *grounds.faults(text)])


def _merged(ranges: list[tuple[int, int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(end, merged[-1][1])
        else:
            merged.append([start, end])
    return merged
