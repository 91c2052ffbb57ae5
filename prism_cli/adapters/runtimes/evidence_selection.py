"""Selection of evidence: the document's sentences that the model itself scores best.

Each sentence is scored as a document of its own, behind the same query and title; the best one is
the evidence, with another one of nearly the same score. The contribution is written from the prompt
of that evidence, so that it speaks of what the evidence shows.
"""

import re
from collections.abc import Generator, Sequence
from math import inf

from prism_cli.adapters.runtimes.text_writer import CONTRIBUTION_CLOSING
from prism_cli.domain.extraction import candidate_statements, joined_evidence, selected_indices
from prism_cli.domain.grounding import MAX_SENTENCES
from prism_cli.domain.windows import Span
from prism_cli.ports import Reply, RerankTask, Usage, Value

SELECTION_RULE = "selected 3"
"""Part of the request key; the number changes with the rule."""
_OPENING = "<contribution>"
_ANY_TAG = re.compile(
    r"(?<!\s)\s*+<\s*+(?:/\s*+)?(?:contribution|evidence)\b.*", re.DOTALL | re.IGNORECASE
)
Steps = Generator[Sequence[RerankTask], Sequence[Reply], Reply]
"""Yields tasks for the runtime inside, is sent their replies, and returns that of the document."""


def selection(task: RerankTask, head: str) -> Steps:
    """Return the work on a task that selects: scores of the sentences, then a contribution for the
    best ones.

    Args:
        head: title that is read with each sentence.
    """
    body, spans = task.body, _statements(task, task.body, task.spans)
    if not spans:  # the title says it all
        body, head, spans = 0, "", _statements(task, 0)
    texts = [head + task.document[slice(*span)] for span in spans]
    scored: Sequence[Reply] = []
    if len(texts) > 1:
        scored = yield [RerankTask(task.query, text) for text in texts]
        logits = [float(reply.value.get("logit", -inf)) for reply in scored]
        spans = [spans[index] for index in selected_indices(logits, MAX_SENTENCES)]
    evidence = joined_evidence(task.document, spans) or task.document[body:]
    (written,) = yield [
        RerankTask(task.query, head + evidence, task.max_new_tokens, -inf, selects=True)
    ]
    usage = Usage(
        sum(reply.usage.input_tokens for reply in (*scored, written)), written.usage.output_tokens
    )
    if written.refusal is not None:
        return Reply({}, written.refusal, usage)
    ended = written.usage.output_tokens < task.max_new_tokens
    value: Value = {
        "text": closed(str(written.value["text"]), ended=ended),
        "truncated": any(reply.value.get("truncated") for reply in (*scored, written)),
        "selected": [list(span) for span in spans],
    }
    return Reply(value, usage=usage)


def _statements(task: RerankTask, body: int, within: Sequence[Span] = ()) -> list[Span]:
    """Return the sentences to compare, behind `body`, that touch one of the ranges `within`."""
    inside = [(start - body, end - body) for start, end in within]
    found = candidate_statements(task.query, task.document[body:], inside)
    return [(body + start, body + end) for start, end in found]


def closed(text: str, *, ended: bool) -> str:
    """Return the text of a contribution with its closing tag, for a model that writes another tag
    or none: nothing else can follow.

    Args:
        ended: the model ended the text; else it reached the limit, and is closed at a tag alone.
    """
    before, opening, contribution = text.partition(_OPENING)
    inner, tags = _ANY_TAG.subn("", contribution)
    if not opening or CONTRIBUTION_CLOSING in contribution or not (ended or tags):
        return text
    return f"{before}{opening}{inner}{CONTRIBUTION_CLOSING}"
