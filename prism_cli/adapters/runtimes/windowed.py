"""A reranker that reads documents in parts: around any runtime with a prompt encoder.

A document that fits goes to the runtime unchanged, and its request has the same key. A longer one
is split into overlapping windows (`domain.windows`); its logit is that of the best window. Texts
are written for windows above the threshold, best first, until the document's tokens are used up.
Tasks that select evidence are worked on by `evidence_selection`.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Protocol

from prism_cli.adapters.runtimes.document_splitter import DocumentSplitter
from prism_cli.adapters.runtimes.evidence_selection import SELECTION_RULE, Steps, selection
from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.domain.windows import Span
from prism_cli.generator_drivers import in_step
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.ports import Reply, RerankRuntime, RerankTask, Usage, Value

MAX_WRITTEN = 16
"""Most windows of a document for which texts are written."""
_RULE = "windows 2"
"""Part of the request key of a long document; the number changes with the splitting rule."""
_BATCHES = 4
"""Batches of the runtime whose windows are answered together."""
_BATCH_TOKENS = 1 << 17
"""Tokens of windows answered together by a runtime that plans its batches itself."""


class EncodingRuntime(RerankRuntime, Protocol):
    """A RerankRuntime that shows its encoder, and the defaults that its model states."""

    encoder: PromptEncoder
    defaults: ModelDefaults


class WindowedReranker:
    """A RerankRuntime that reads long documents in windows, and selects evidence.

    Args:
        inner: reads the parts.
        window_tokens: most document tokens of a window; None for the model's own, else for what
            fits beside the query.
        cut: the runtime reads the beginning of a long document instead.
    """

    def __init__(
        self, inner: EncodingRuntime, window_tokens: int | None = None, *, cut: bool = False
    ) -> None:
        self.inner = inner
        self.encoder = inner.encoder
        self._splitter = DocumentSplitter(
            inner.encoder, window_tokens, inner.defaults.window_tokens
        )
        self.cut = cut
        self.defaults = inner.defaults

    @property
    def spec(self) -> str:
        return self.inner.spec

    @property
    def fingerprint(self) -> str:
        """The runtime's own: `split_key` makes the difference, for long documents alone."""
        return self.inner.fingerprint

    @property
    def figures(self) -> Mapping[str, object]:
        source = self.defaults.evidence_from
        stated = {"evidence_from": source} if source else {}
        return {**self.inner.figures, **stated}

    @property
    def batch_tokens(self) -> int:
        """The runtime's; AttributeError if it has none."""
        tokens: int = self.inner.batch_tokens  # type: ignore[attr-defined]
        return tokens

    @batch_tokens.setter
    def batch_tokens(self, tokens: int) -> None:
        self.inner.batch_tokens = tokens  # type: ignore[attr-defined]

    def split_key(self, task: RerankTask) -> str:
        """Return what determines the reply besides the text; "" for a document that fits."""
        if task.selects:
            return f"{SELECTION_RULE} {task.body} {task.spans}"
        if not self._windows(task):
            return ""
        return f"{_RULE} {self._splitter.limit(task)} {task.body} {task.spans}"

    def plan(self, payloads: Sequence[RerankTask]) -> list[list[int]]:
        """Return the runtime's batches of documents that fit, then those of long ones, by query.

        A batch has long documents of as many windows as `_BATCHES` batches hold, at least one.
        """
        windows = {row: len(self._windows(task)) for row, task in enumerate(payloads)}
        fit = [row for row, count in windows.items() if not count]
        batches = [
            [fit[row] for row in batch] for batch in self.inner.plan([payloads[row] for row in fit])
        ]
        room = _BATCHES * getattr(self.inner, "batch_tokens", _BATCH_TOKENS // _BATCHES)
        first: dict[str, int] = {}
        for row, task in enumerate(payloads):
            first.setdefault(task.query, row)
        held = inf
        for row in sorted(
            windows.keys() - set(fit), key=lambda row: (first[payloads[row].query], row)
        ):
            tokens = (self._splitter.limit(payloads[row]) or 0) * windows[row]
            if held + tokens > room:
                batches.append([])
                held = 0
            batches[-1].append(row)
            held += tokens
        return batches

    def answer(self, payloads: Sequence[RerankTask]) -> list[Reply]:
        """Return a reply per task; that of a document that fits is the runtime's.

        That of a longer one is {"logit", "truncated", "windows": number, "best_window": [start,
        end], "best_windows": [[start, end, logit], …] best first}, with ranges in the task's
        document, and "texts": [[start, end, text], …] in document order if texts were requested.
        That of a task that selects is {"text", "truncated", "selected": [[start, end], …]}, the
        sentences in document order.
        """
        tasks = list(dict.fromkeys(payloads))
        parted = [task for task in tasks if task.selects or self._windows(task)]
        fit = [task for task in tasks if not (task.selects or self._windows(task))]
        replies = dict(zip(fit, self.inner.answer(fit), strict=True)) if fit else {}
        replies |= in_step({task: self.steps(task) for task in parted}, self.inner.answer)
        return [replies[task] for task in payloads]

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the logits of a few short pairs."""
        return self.inner.logits(pairs)

    def forget(self) -> None:
        """Drop cached state."""
        self._splitter.forget()
        self.inner.forget()

    def steps(self, task: RerankTask) -> Steps:
        """Return the work on a document: tasks of the runtime it is in, and at last its reply."""
        if task.selects:
            if self.cut and (read := self._splitter.beginning(task)):
                task = task._replace(spans=(read,))
            return (yield from selection(task, self._splitter.head(task)))
        spans = self._windows(task)
        if not spans:
            (reply,) = yield [task]
            return reply
        one = _LongDocument(task, spans)
        if not task.spans:
            for span, scored in zip(
                spans, (yield [self._splitter.part(task, span) for span in spans]), strict=True
            ):
                one.add_score(span, scored)
        one.rank()
        while one.wants_text:
            part = self._splitter.part(task, one.next_span())
            (written,) = yield [part._replace(max_new_tokens=one.left, write_above=-inf)]
            one.add_text(written)
        return one.reply()

    def _windows(self, task: RerankTask) -> list[Span]:
        """Return the windows of a document; [] if it is read at once."""
        return [] if self.cut else self._splitter.windows(task)


class _LongDocument:
    """The replies for the windows of one document, and what they add up to.

    Attributes:
        left: tokens of text that may still be written.
    """

    def __init__(self, task: RerankTask, spans: Sequence[Span]) -> None:
        self.task, self.spans = task, spans
        self.left = task.max_new_tokens
        self._scores: list[tuple[Span, float]] = []
        self._waiting = list(task.spans)
        self._texts: list[tuple[Span, str]] = []
        self._truncated = False
        self._refusal: str | None = None
        self._input_tokens = self._output_tokens = self._last_tokens = 0

    def add_score(self, span: Span, reply: Reply) -> None:
        """Take the score of one window."""
        self._take(reply)
        if reply.refusal is None:
            self._scores.append((span, float(reply.value["logit"])))

    def rank(self) -> None:
        """Put the windows in order, the best first, the first of equal ones; choose those that get
        a text."""
        self._scores.sort(key=lambda item: -item[1])
        if not self.task.spans and self._refusal is None:
            above = [span for span, logit in self._scores if logit > self.task.write_above]
            self._waiting = above[:MAX_WRITTEN]

    @property
    def wants_text(self) -> bool:
        """True while a window waits for its text and a text like the last one has room."""
        room = self.left > 0 and self.left >= self._last_tokens
        return bool(self._waiting) and self.task.max_new_tokens > 0 and room

    def next_span(self) -> Span:
        """Return the window whose text is written next."""
        return self._waiting[0]

    def add_text(self, reply: Reply) -> None:
        """Take the text of that window."""
        span = self._waiting.pop(0)
        self._take(reply)
        if reply.refusal is not None:
            return
        if self.task.spans:
            self._scores.append((span, float(reply.value["logit"])))
        self._texts.append((span, str(reply.value["text"])))
        self._last_tokens = reply.usage.output_tokens
        self.left -= self._last_tokens

    def reply(self) -> Reply:
        """Return the document's reply."""
        usage = Usage(self._input_tokens, self._output_tokens)
        if self._refusal is not None:
            return Reply({}, self._refusal, usage)
        best, logit = self._scores[0]
        value: Value = {
            "logit": logit,
            "truncated": self._truncated,
            "windows": len(self.spans),
            "best_window": list(best),
            "best_windows": [[*span, score] for span, score in self._scores[:MAX_WRITTEN]],
        }
        if self._texts:
            value["texts"] = [[*span, text] for span, text in sorted(self._texts)]
        return Reply(value, usage=usage)

    def _take(self, reply: Reply) -> None:
        self._refusal = self._refusal or reply.refusal
        self._truncated |= bool(reply.value.get("truncated"))
        self._input_tokens += reply.usage.input_tokens
        self._output_tokens += reply.usage.output_tokens
