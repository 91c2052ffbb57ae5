"""A reranker that reads long documents in windows: around any runtime with a prompt encoder.

A document that fits goes to the runtime unchanged, and its request has the same key. A longer one
is split into overlapping windows (`domain.windows`); its logit is that of the best window. Texts
are written for windows above the threshold, best first, until the document's tokens are used up.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from math import inf
from typing import Protocol

from prism_cli.domain.windows import MIN_WINDOW, Span, window_spans
from prism_cli.errors import RowError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.ports import Reply, RerankRuntime, RerankTask, Usage, Value
from prism_cli.rows.row import texts_digest
from prism_cli.rows.texts import is_blank

MAX_WRITTEN = 16
"""Most windows of a document for which texts are written."""
_RULE = "windows 1"
"""Part of the request key of a long document; the number changes with the splitting rule."""
_TITLE_SHARE = 4
"""A title of at most 1 / _TITLE_SHARE of a window's tokens is read with each window."""
_BATCHES = 4
"""Batches of the runtime whose windows are answered together."""
_BATCH_TOKENS = 1 << 17
"""Tokens of windows answered together by a runtime that plans its batches itself."""
_CACHED_DOCUMENTS = 8192


class EncodingRuntime(RerankRuntime, Protocol):
    """A RerankRuntime that shows its encoder."""

    encoder: PromptEncoder


class WindowedReranker:
    """A RerankRuntime that reads long documents in windows.

    Args:
        inner: reads the windows.
        window_tokens: most document tokens of a window; None for what fits beside the query.
    """

    def __init__(self, inner: EncodingRuntime, window_tokens: int | None = None) -> None:
        self.inner = inner
        self.encoder = inner.encoder
        self._window_tokens = window_tokens
        self._spans: dict[tuple[bytes, int, int], list[Span]] = {}

    @property
    def spec(self) -> str:
        return self.inner.spec

    @property
    def fingerprint(self) -> str:
        """The runtime's own: `split_key` makes the difference, for long documents alone."""
        return self.inner.fingerprint

    @property
    def figures(self) -> Mapping[str, object]:
        return self.inner.figures

    @property
    def batch_tokens(self) -> int:
        """The runtime's; AttributeError if it has none."""
        tokens: int = self.inner.batch_tokens  # type: ignore[attr-defined]
        return tokens

    @batch_tokens.setter
    def batch_tokens(self, tokens: int) -> None:
        self.inner.batch_tokens = tokens  # type: ignore[attr-defined]

    def split_key(self, task: RerankTask) -> str:
        """Return what determines the reply for a long document besides its text; "" if it fits."""
        if not self._windows(task):
            return ""
        return f"{_RULE} {self._limit(task)} {task.body} {task.spans}"

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
            tokens = (self._limit(payloads[row]) or 0) * windows[row]
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
        """
        windows = {task: self._windows(task) for task in dict.fromkeys(payloads)}
        long = {task: spans for task, spans in windows.items() if spans}
        fit = [task for task in windows if task not in long]
        replies = dict(zip(fit, self.inner.answer(fit), strict=True)) if fit else {}
        replies |= self._long(long) if long else {}
        return [replies[task] for task in payloads]

    def logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the logits of a few short pairs."""
        return self.inner.logits(pairs)

    def forget(self) -> None:
        """Drop cached state."""
        self._spans.clear()
        self.inner.forget()

    def _long(self, windows: Mapping[RerankTask, list[Span]]) -> dict[RerankTask, Reply]:
        """Return the replies for long documents, whose windows share batches."""
        documents = {task: _LongDocument(task, spans) for task, spans in windows.items()}
        parts = [
            (one, span) for one in documents.values() if not one.task.spans for span in one.spans
        ]
        scored = self.inner.answer([self._part(one.task, span) for one, span in parts])
        for (one, span), reply in zip(parts, scored, strict=True):
            one.add_score(span, reply)
        for one in documents.values():
            one.rank()
        while wanted := [one for one in documents.values() if one.wants_text]:
            tasks = [
                self._part(one.task, one.next_span())._replace(
                    max_new_tokens=one.left, write_above=-inf
                )
                for one in wanted
            ]
            for one, reply in zip(wanted, self.inner.answer(tasks), strict=True):
                one.add_text(reply)
        return {task: one.reply() for task, one in documents.items()}

    def _part(self, task: RerankTask, span: Span) -> RerankTask:
        """Return the task of scoring one window, which has the title too."""
        head = task.document[: self._head(task, self._limit(task) or 0)]
        return RerankTask(task.query, head + task.document[slice(*span)])

    def _windows(self, task: RerankTask) -> list[Span]:
        """Return the windows of a document; [] if it fits."""
        limit = self._limit(task)
        size = len(task.document.encode("utf-8", "surrogatepass"))
        if limit is None or (size < limit and unicodedata.is_normalized("NFC", task.document)):
            return []  # a token has at least a byte
        key = texts_digest(task.document), limit, task.body
        if key not in self._spans:
            if len(self._spans) >= _CACHED_DOCUMENTS:
                self._spans.clear()
            try:
                self._spans[key] = self._split(task, limit)
            except RowError:  # the runtime refuses the document, or reads its beginning
                self._spans[key] = []
        return self._spans[key]

    def _limit(self, task: RerankTask) -> int | None:
        """Return the most document tokens of a window; None if there is no room for windows."""
        try:
            room = self.encoder.room(task.query)
        except RowError:  # the runtime refuses the query
            return None
        return min(room, self._window_tokens or room) if room >= MIN_WINDOW else None

    def _head(self, task: RerankTask, limit: int) -> int:
        """Return the length of the title that is read with each window."""
        head = task.document[: task.body]
        if not head or len(self.encoder.document_ids([head])[0]) > limit // _TITLE_SHARE:
            return 0
        return task.body

    def _split(self, task: RerankTask, limit: int) -> list[Span]:
        """Return windows that each have at most `limit` tokens with the title; [] if the whole
        document has.

        Raises:
            RowError: it cannot be encoded.
        """
        if len(self.encoder.document_ids([task.document])[0]) <= limit:
            return []
        offset = self._head(task, limit)
        head, text = task.document[:offset], task.document[offset:]
        starts = self.encoder.token_starts(text)
        target = limit - (len(self.encoder.document_ids([head])[0]) if head else 0)
        while True:
            spans = window_spans(text, starts, target)
            parts = [head + text[start:end] for start, end in spans]
            excess = max(map(len, self.encoder.document_ids(parts))) - limit
            if excess <= 0 or target <= MIN_WINDOW // 4:
                break
            target = max(target - max(excess, target // 16), MIN_WINDOW // 4)
        return [
            (start + offset, end + offset) for start, end in spans if not is_blank(text[start:end])
        ]


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
