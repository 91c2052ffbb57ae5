"""Contexts that a reader answers from."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from prism_cli.domain.evidence_measures import lead
from prism_cli.rows.verdict_texts import VerdictTexts

NOTHING, EVIDENCE, DOCUMENTS, CLOSEST = "nothing", "evidence", "documents", "closest"
CONTEXTS = (NOTHING, DOCUMENTS, EVIDENCE, "contributions", CLOSEST, "lead")
AT_EQUAL_LENGTH = (CLOSEST, "lead")
"""Contexts at the length of the evidence."""


def _lead(pair: VerdictTexts) -> str:
    return lead(pair.body, len(pair.evidence)) if pair.evidence else ""


FROM_TEXTS: Mapping[str, Callable[[VerdictTexts], str]] = MappingProxyType(
    {
        DOCUMENTS: lambda pair: pair.document,
        EVIDENCE: lambda pair: pair.evidence,
        "contributions": lambda pair: pair.contribution,
        "lead": _lead,
    }
)
"""Context -> its text of a document; "" for none."""
