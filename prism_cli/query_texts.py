"""Texts of one query's documents: from a model's replies, or the documents' own sentences."""

from collections import Counter
from collections.abc import Sequence
from typing import cast

from prism_cli.domain.evidence_budget import DEADLINE, EXTRACTIVE, OFF, REPEATS, RankOptions
from prism_cli.domain.evidence_text import shares_words
from prism_cli.domain.extraction import joined_evidence
from prism_cli.domain.grounded_texts import (
    NO_CITATIONS,
    Texts,
    estimated_tokens,
    extracted_texts,
    grounded_texts,
)
from prism_cli.domain.markup import unescaped
from prism_cli.domain.repeats import SaidBefore
from prism_cli.domain.targets import ParsedText, parse_text
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.domain.windows import without_repeats
from prism_cli.ports import Reply, Value
from prism_cli.rows.candidates import Candidate

PARAGRAPH = "\n\n"
"""Between texts from different parts of a document."""
NOT_IN_TIME = Reply({})
"""In place of the reply with a text that was given up."""


class QueryTexts:
    """Texts of the documents of one query, added best document first.

    Args:
        documents: best first.

    Attributes:
        tokens_written: tokens of all replies.
    """

    def __init__(self, query: str, documents: Sequence[Candidate], options: RankOptions) -> None:
        self.tokens_written = 0
        self._query = query
        self._documents = documents
        self._options = options
        self._said = SaidBefore()
        self._added: dict[int, tuple[Texts, Counter[str]]] = {}

    def __contains__(self, place: int) -> bool:
        return place in self._added

    def add(self, place: int, reply: Reply | None) -> int:
        """Add the texts of a reply; without one, sentences of the document.

        Args:
            reply: NOT_IN_TIME for a text that was given up.

        Returns:
            Tokens of the texts; 0 if they are left out, since they repeat better documents.
        """
        counts: Counter[str] = Counter()
        if reply is NOT_IN_TIME:
            texts, counts = self._none(DEADLINE)
            texts |= {"evidence_omitted": DEADLINE}
        elif reply is None:
            texts = self._extract(self._documents[place], counts)
        else:
            texts = self._read(reply, self._documents[place], counts)
            self.tokens_written += reply.usage.output_tokens
        evidence = texts["evidence"]
        if self._options.skip_repeats and evidence:
            better = self._said.add(evidence, place)
            if better is not None:
                texts, counts = self._none(REPEATS)
                texts |= {"evidence_omitted": REPEATS, "repeats": self._documents[better].doc_id}
        self._added[place] = texts, counts
        return counts["tokens_kept"]

    def fields(self, place: int, reason: str | None) -> tuple[Texts, Counter[str]]:
        """Return the fields of a document, and its counts.

        Args:
            reason: why it has no texts; None if they were added.
        """
        texts, counts = self._added[place] if reason is None else self._none(reason)
        if self._options.reports_omitted:
            texts.setdefault("evidence_omitted", reason)
        return texts, counts

    def _none(self, reason: str) -> tuple[Texts, Counter[str]]:
        grounded = self._options.grounding != OFF or self._options.evidence_from == EXTRACTIVE
        fields = {"contribution": None, "evidence": None, "format_ok": None}
        return cast("Texts", fields | (NO_CITATIONS if grounded else {})), Counter(
            {f"omitted_{reason}": 1}
        )

    def _extract(self, document: Candidate, counts: Counter[str]) -> Texts:
        fields = extracted_texts(self._query, document.text, document.body)
        counts.update(given=1, extracted=1, tokens_kept=estimated_tokens(fields))
        return cast("Texts", {"contribution": None, "evidence": None, "format_ok": None} | fields)

    def _read(self, reply: Reply, document: Candidate, counts: Counter[str]) -> Texts:
        """Return the texts of a reply, and count them. Entities that neither query nor document has
        are unescaped."""
        parsed = _parsed(reply.value)
        source = f"{document.text}\n{self._query}"
        contribution, evidence = (
            part and unescaped(part, source) for part in (parsed.contribution, parsed.evidence)
        )
        format_ok = parsed.format_ok and shares_words(evidence or "", document.text)
        tokens = reply.usage.output_tokens
        if spans := reply.value.get("selected"):
            evidence = joined_evidence(document.text, spans)
            format_ok = bool(contribution)
            tokens += estimate_tokens(evidence)
        fields = grounded_texts(
            self._query, document.text, document.body, contribution, evidence,
            mode=self._options.grounding, selected=spans or (), counts=counts,
        )  # fmt: skip
        if fields.get("evidence_origin") in ("repaired", "extracted"):
            tokens = estimated_tokens(fields)  # other texts than the model wrote
        counts.update(given=1, format_broken=int(not format_ok), tokens_kept=tokens)
        return cast(
            "Texts", {"contribution": None, "evidence": None, "format_ok": format_ok} | fields
        )


def _parsed(value: Value) -> ParsedText:
    """Return the texts of a reply: for a document in windows, the contribution of the best one, and
    all evidence in document order without repeated sentences."""
    if "texts" not in value:
        return parse_text(str(value["text"]).replace("\0", "\ufffd"))  # no NUL in rows
    parsed = {
        (start, end): parse_text(str(text).replace("\0", "\ufffd"))
        for start, end, text in value["texts"]
    }
    start, end = value["best_window"]
    best = parsed.get((start, end)) or next(iter(parsed.values()))
    given = [one.evidence for one in parsed.values() if one.evidence]
    evidence = PARAGRAPH.join(without_repeats(given)) or None
    return ParsedText(best.contribution, evidence, bool(best.contribution and evidence))
