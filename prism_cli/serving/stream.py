"""Replies as server-sent events: scores at once, each evidence as it is written, the result."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from prism_cli.domain.grounded_texts import Texts
from prism_cli.domain.scoring import relevance_score, verdict_of
from prism_cli.ports import Reply, RerankTask
from prism_cli.query_texts import QueryTexts
from prism_cli.ranking import DECIMALS, Ranking
from prism_cli.rows.texts import is_blank
from prism_cli.serving.messages import RerankCall
from prism_cli.serving.replies import error_body, log_figures, reply_body, status_of
from prism_cli.serving.service import Service, Ticket

KEEP_ALIVE = 10.0
"""Seconds without an event after which a comment is sent."""


async def events(
    service: Service,
    call: RerankCall,
    model: str,
    leaving: asyncio.Future[None],
    figures: dict[str, int],
    *,
    timeout: float | None,
) -> AsyncGenerator[bytes, None]:
    """Yield a comment, then the events `scores`, `evidence`, `result` and `done`, or `error`.

    Closing the generator gives the work up.

    Args:
        leaving: done when the client has left, which gives the work up, too.
        figures: gets the figures of the log once the work is done.

    Raises:
        PrismError: the request was refused before its work began.
    """
    waiting: asyncio.Queue[bytes] = asyncio.Queue()
    progress = _Progress(call, waiting)
    work = asyncio.ensure_future(
        service.rank(
            call.body.query,
            call.documents,
            call.options,
            timeout=timeout,
            observe=progress.observe,
        )
    )
    part: asyncio.Future[bytes] | None = None
    try:
        await asyncio.sleep(0)  # the work begins, or is refused
        if work.done() and work.exception() is not None:
            work.result()
        yield b": accepted\n\n"
        while not (work.done() and waiting.empty()):
            part = asyncio.ensure_future(waiting.get())
            waited: set[asyncio.Future[Any]] = {work, part, leaving}
            await asyncio.wait(waited, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                part.cancel()
                return
            if part.done():
                yield part.result()
                continue
            part.cancel()
            if not work.done():
                yield b": working\n\n"
        if work.exception() is None:
            figures |= log_figures(*work.result())
        yield _end(call, work, model)
        yield _event("done", {})
    finally:
        for future in (work, leaving, part):
            if future is not None:
                future.cancel()


class _Progress:
    """The events of a request while it is being answered."""

    def __init__(self, call: RerankCall, waiting: asyncio.Queue[bytes]) -> None:
        self._call, self._waiting = call, waiting
        self._indices: defaultdict[str, list[int]] = defaultdict(list)
        # Equal texts, which have one reply each, in the order of the results.
        for index, document in sorted(enumerate(call.documents), key=lambda one: one[1].doc_id):
            if not is_blank(document.text):
                self._indices[document.text].append(index)
        self._unwritten = {text: iter(indices) for text, indices in self._indices.items()}
        self._unscored = sum(map(len, self._indices.values()))
        self._logits: dict[int, float] = {}
        self._send_scores()  # where all documents are blank

    async def observe(self, task: RerankTask, reply: Reply) -> None:
        """Take a reply of the request."""
        if reply.refusal is not None:
            return
        if not task.max_new_tokens:
            if self._indices[task.document][0] in self._logits:
                return
            logit = float(reply.value["logit"])
            self._logits |= dict.fromkeys(self._indices[task.document], logit)
            self._send_scores()
        elif "text" in reply.value or "texts" in reply.value:
            index = next(self._unwritten[task.document])
            texts = await asyncio.to_thread(_texts, self._call, index, reply)
            self._waiting.put_nowait(_event("evidence", {"index": index, **texts}))

    def _send_scores(self) -> None:
        """Send the event `scores` once the model has read all documents."""
        if len(self._logits) < self._unscored:
            return
        raw = self._call.body.raw_scores
        scores = [
            {
                "index": index,
                "doc_id": self._call.documents[index].doc_id,
                "relevance_score": round(logit if raw else relevance_score(logit), DECIMALS),
                "logit": round(logit, DECIMALS),
                "verdict": verdict_of(logit),
            }
            for index, logit in sorted(self._logits.items(), key=lambda item: -item[1])
        ]
        self._waiting.put_nowait(_event("scores", {"results": scores}))


def _texts(call: RerankCall, index: int, reply: Reply) -> Texts:
    """Return the fields of a document's texts, whatever other documents say."""
    texts = QueryTexts(call.body.query, [call.documents[index]], call.options)
    texts.add(0, reply)
    return texts.fields(0, None)[0]


def _end(call: RerankCall, work: asyncio.Future[tuple[Ranking, Ticket]], model: str) -> bytes:
    error = work.exception()
    if error is None:
        ranking, ticket = work.result()
        return _event("result", reply_body(call, ranking, ticket, model, returns_documents=False))
    if not isinstance(error, Exception):
        raise error
    status, _ = status_of(error)
    message = str(error) if status != 500 else "the model failed; see the server's log"
    return _event("error", error_body(status, message))


def _event(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"
