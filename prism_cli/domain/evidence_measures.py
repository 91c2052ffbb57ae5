"""Measures of one evidence text: against its document, and against people's marks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prism_cli.domain.copying import copying
from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.rationales import rationale_match
from prism_cli.domain.sentences import MAX_SENTENCE_CHARS, sentence_spans
from prism_cli.domain.squad_tokens import TokenText, squad_tokens
from prism_cli.domain.token_estimate import estimate_tokens

_SHOWN_ENTITIES = 5


def text_measures(evidence: str, document: str) -> dict[str, Any]:
    """Return plain counts, which can be added up over many rows.

    characters, tokens (by `estimate_tokens`): length of the evidence.
    entities: class -> [found in the document, all]; missing: the first that were not found.
    words, copied, density, new, ngrams: see `Copying`.
    """
    fidelity = entity_fidelity(evidence, document)
    copied = copying(evidence, document)
    return {
        "characters": len(evidence),
        "tokens": estimate_tokens(evidence),
        "entities": {kind: [fidelity.found[kind], n] for kind, n in fidelity.total.items()},
        "missing": list(fidelity.missing[:_SHOWN_ENTITIES]),
        "words": copied.words,
        "copied": copied.copied,
        "density": round(copied.density, 6),
        "new": copied.new,
        "ngrams": copied.ngrams,
    }


@dataclass(frozen=True, slots=True)
class GoldMarks:
    """People's marks of one document.

    Attributes:
        answers: answers that count for retention; empty where the document has none of its query.
        rationales: tokens of the marked sentences of this document.
        in_document: True if it has a complete answer of the query; None where no answer is known.
        answerable: True if it answers the query; None where unknown.
    """

    answers: Sequence[str] = ()
    rationales: Sequence[Sequence[str]] = ()
    in_document: bool | None = None
    answerable: bool | None = None

    def measures(self, evidence: str) -> dict[str, Any]:
        """Return answer_kept: whether some answer occurs in `evidence`; recall, precision and f1 of
        the marked sentences. A measure without marks is omitted."""
        measures: dict[str, Any] = {}
        if self.answers:
            text = TokenText(evidence)
            measures["answer_kept"] = any(map(text.holds, self.answers))
        if self.rationales:
            measures |= asdict(rationale_match(evidence, self.rationales))
        return measures


def marks_of(
    document: str,
    *,
    answers: Sequence[str] = (),
    rationales: Sequence[str] = (),
    answerable: bool | None = None,
    answers_here: bool = True,
    rationales_here: bool = True,
) -> GoldMarks:
    """Return the marks that apply to `document`.

    Marks of the query alone (..._here False) apply where the document has the complete answer or
    sentence, whatever the row's label: a model's labels do not select rows.
    """
    usable, marked = (
        [mark for mark in part if squad_tokens(mark)] for part in (answers, rationales)
    )
    text = TokenText(document) if usable or marked else None
    in_document = any(map(text.holds, usable)) if text and usable else None
    counted = usable if answers_here or in_document else []
    if text and not rationales_here:
        marked = [sentence for sentence in marked if text.holds(sentence)]
    return GoldMarks(
        counted, [squad_tokens(sentence) for sentence in marked], in_document, answerable
    )


def lead(document: str, characters: int) -> str:
    """Return the first sentences of `document` that fit into `characters`; always at least one."""
    head = document[: characters + 2 * MAX_SENTENCE_CHARS]
    spans = sentence_spans(head)
    if not spans:
        return ""
    start = spans[0][0]
    return document[
        start : max([spans[0][1], *(end for _, end in spans if end - start <= characters)])
    ]
