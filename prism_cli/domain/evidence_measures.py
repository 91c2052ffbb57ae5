"""What can be measured of one evidence text: against its document, and against people's marks."""

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
    """Plain counts, so that many rows are added up.

    characters, tokens (by `estimate_tokens`): of the evidence.
    entities: class -> [found in the document, all]; missing: the first that were not found.
    words, copied, density, new, ngrams: see `Copying`.
    """
    fidelity = entity_fidelity(evidence, document)
    found = asdict(copying(evidence, document))
    return {
        "characters": len(evidence),
        "tokens": estimate_tokens(evidence),
        "entities": {kind: [fidelity.found[kind], n] for kind, n in fidelity.total.items()},
        "missing": list(fidelity.missing[:_SHOWN_ENTITIES]),
        **found,
        "density": round(found["density"], 6),
    }


@dataclass(frozen=True, slots=True)
class Marks:
    """What people say of one document.

    Attributes:
        answers: that count for retention; none where the document holds none of its query's.
        rationales: tokens of the marked sentences of this document.
        in_document: whether it holds an answer of the query whole; None where none is known.
        answerable: whether it answers the query; None where nobody says.
    """

    answers: Sequence[str] = ()
    rationales: Sequence[Sequence[str]] = ()
    in_document: bool | None = None
    answerable: bool | None = None

    def measures(self, evidence: str) -> dict[str, Any]:
        """answer_kept: whether some answer stands whole in `evidence`; recall, precision and f1 of
        the marked sentences. A measure without marks is left out."""
        found: dict[str, Any] = {}
        if self.answers:
            text = TokenText(evidence)
            found["answer_kept"] = any(map(text.holds, self.answers))
        if self.rationales:
            found |= asdict(rationale_match(evidence, self.rationales))
        return found


def marks_of(
    document: str,
    *,
    answers: Sequence[str] = (),
    rationales: Sequence[str] = (),
    answerable: bool | None = None,
    answers_here: bool = True,
    rationales_here: bool = True,
) -> Marks:
    """The marks that count for `document`.

    What is marked for the query alone (..._here False) counts where it stands in the document, an
    answer whole or a sentence whole, whatever the row's label: a model's labels choose no rows.
    """
    known, marked = ([one for one in part if squad_tokens(one)] for part in (answers, rationales))
    text = TokenText(document) if known or marked else None
    in_document = any(map(text.holds, known)) if text and known else None
    counted = known if answers_here or in_document else []
    if text and not rationales_here:
        marked = [one for one in marked if text.holds(one)]
    return Marks(counted, [squad_tokens(one) for one in marked], in_document, answerable)


def lead(document: str, characters: int) -> str:
    """The first sentences of `document` that fit into as many characters; the first in any case."""
    head = document[: characters + 2 * MAX_SENTENCE_CHARS]
    spans = sentence_spans(head)
    if not spans:
        return ""
    start = spans[0][0]
    return document[
        start : max([spans[0][1], *(end for _, end in spans if end - start <= characters)])
    ]
