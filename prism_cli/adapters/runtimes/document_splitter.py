"""Windows of the documents of tasks: what one prompt encoder can read at once."""

import unicodedata

from prism_cli.domain.windows import MIN_WINDOW, WHOLE_WINDOWS, Span, window_spans
from prism_cli.errors import RowError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.ports import RerankTask
from prism_cli.rows.row import texts_digest
from prism_cli.rows.texts import is_blank

MAX_TITLE = 300
"""Most characters of a title that is read with each part of a document, a window or a sentence."""
_TITLE_SHARE = 4
"""Such a title has at most 1 / _TITLE_SHARE of a window's tokens."""
_CACHED_DOCUMENTS = 8192


class DocumentSplitter:
    """Splits documents into overlapping windows.

    Args:
        window_tokens: most document tokens of a window; longer documents are split. None for the
            stated ones, else for what fits beside the query.
        stated_tokens: the same, as the model states it; documents of up to WHOLE_WINDOWS such
            windows are not split if they fit.
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        window_tokens: int | None = None,
        stated_tokens: int | None = None,
    ) -> None:
        self._encoder = encoder
        self._window_tokens = window_tokens or stated_tokens
        self._whole_tokens = window_tokens or (stated_tokens and WHOLE_WINDOWS * stated_tokens)
        self._spans: dict[tuple[bytes, int, int, int], list[Span]] = {}

    def windows(self, task: RerankTask) -> list[Span]:
        """Return the windows of a document; [] if it fits, or cannot be split."""
        limit, whole = self.limit(task), self._limit(task, self._whole_tokens)
        if not (limit and whole) or _is_short(task.document, whole):
            return []
        key = texts_digest(task.document), limit, whole, task.body
        if key not in self._spans:
            if len(self._spans) >= _CACHED_DOCUMENTS:
                self._spans.clear()
            try:
                fits = len(self._encoder.document_ids([task.document])[0]) <= whole
                self._spans[key] = [] if fits else self._split(task, limit)
            except RowError:  # the runtime refuses the document, or reads its beginning
                self._spans[key] = []
        return self._spans[key]

    def beginning(self, task: RerankTask) -> Span | None:
        """Return the range that is read of a document that is cut; None if it fits."""
        try:
            room = self._encoder.room(task.query)
            if _is_short(task.document, room):
                return None
            starts = self._encoder.token_starts(task.document, room + 1)
        except RowError:  # the runtime refuses the query, or the document
            return None
        return (0, starts[room]) if len(starts) > room else None

    def limit(self, task: RerankTask) -> int | None:
        """Return the most document tokens of a window; None if there is no room for windows."""
        return self._limit(task, self._window_tokens)

    def _limit(self, task: RerankTask, tokens: int | None) -> int | None:
        """Return `tokens`, at most the room beside the query; None if that is too little."""
        try:
            room = self._encoder.room(task.query)
        except RowError:  # the runtime refuses the query
            return None
        return min(room, tokens or room) if room >= MIN_WINDOW else None

    def head(self, task: RerankTask) -> str:
        """Return the title that is read with each part of a document; "" for a long one."""
        return task.document[: self._head(task, self.limit(task) or 0)]

    def part(self, task: RerankTask, span: Span) -> RerankTask:
        """Return the task of scoring one window, which has the title too."""
        head = self.head(task)
        return RerankTask(task.query, head + task.document[slice(*span)])

    def forget(self) -> None:
        """Drop cached windows."""
        self._spans.clear()

    def _head(self, task: RerankTask, limit: int) -> int:
        """Return the length of the title that is read with each part."""
        head = task.document[: task.body]
        if not 0 < len(head) <= MAX_TITLE:
            return 0
        tokens = len(self._encoder.document_ids([head])[0])
        return task.body if tokens <= limit // _TITLE_SHARE else 0

    def _split(self, task: RerankTask, limit: int) -> list[Span]:
        """Return windows that each have at most `limit` tokens with the title.

        Raises:
            RowError: it cannot be encoded.
        """
        offset = self._head(task, limit)
        head, text = task.document[:offset], task.document[offset:]
        starts = self._encoder.token_starts(text)
        target = limit - (len(self._encoder.document_ids([head])[0]) if head else 0)
        while True:
            spans = window_spans(text, starts, target)
            parts = [head + text[start:end] for start, end in spans]
            excess = max(map(len, self._encoder.document_ids(parts))) - limit
            if excess <= 0 or target <= MIN_WINDOW // 4:
                break
            target = max(target - max(excess, target // 16), MIN_WINDOW // 4)
        return [
            (start + offset, end + offset) for start, end in spans if not is_blank(text[start:end])
        ]


def _is_short(document: str, tokens: int) -> bool:
    """Return whether a document surely has fewer tokens, since a token has at least a byte."""
    size = len(document.encode("utf-8", "surrogatepass"))
    return size < tokens and unicodedata.is_normalized("NFC", document)
