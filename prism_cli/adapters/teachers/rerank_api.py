"""A teacher behind a reranker API: the documents of one query in one call, as many as it takes."""

import math
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.packing import SAFETY_SHARE, pack_calls
from prism_cli.adapters.providers.replies import RetryableError, as_probability, count_at, shown
from prism_cli.adapters.teachers.rerank_dialects import DIALECTS
from prism_cli.domain.token_estimate import cut_to_estimate, estimate_tokens
from prism_cli.errors import RefusalError
from prism_cli.ports import Reply, Usage

_AROUND_TOKENS = 8
"""Tokens that the model adds around query and document."""
_REQUEST_VERSION = "rerank 1"
"""Version of the request format; changes whenever the request for the same texts changes."""


class RerankTeacher(ProviderBackend):
    """A CallBackend; payloads are (query, document text), values {"score": float in [0, 1]}.

    A document is truncated, by estimated tokens, to the room that the query leaves in the model's
    context; the query is never truncated.

    Args:
        ref: model whose provider has one of the APIs in DIALECTS.
    """

    single = False

    def __init__(self, ref: ModelRef) -> None:
        super().__init__(ref)
        self._client, self._card = ref.client, ref.card
        self._dialect = DIALECTS[ref.api]
        settings = {
            "api": ref.api,
            "context": ref.card.context_tokens,
            "more": ref.card.extra_body,
        }
        content = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)
        self.fingerprint = (
            f"teacher {_REQUEST_VERSION} {ref.spec} {sha256(content).hexdigest()[:16]}"
        )

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return groups of documents of a query, up to the API's limits on documents and tokens."""
        max_documents = self._card.max_documents or self._dialect.most_documents
        limit = (self._card.request_tokens or math.inf) * SAFETY_SHARE
        sizes = (
            (query, self._pair_tokens(query, self._cut(query, text))) for query, text in payloads
        )
        return pack_calls(sizes, max_documents, limit)

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Return the estimated tokens and cost of one call."""
        return self._usage(*self._estimated(payloads))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return one score per document of one query.

        Raises:
            ProviderError, RefusalError, PrerequisiteError: as `ProviderClient.ask`; RefusalError
                also when the query leaves no room for a document.
        """
        query = payloads[0][0]
        texts = [self._cut(query, document) for _, document in payloads]
        for (_, document), text in zip(payloads, texts, strict=True):
            if document.strip() and not text.strip():
                raise RefusalError(
                    f"the query leaves no room for a document in the model's "
                    f"{self._card.context_tokens} tokens"
                )
        tokens, searches = self._estimated(payloads)

        def read(body: Any) -> tuple[list[float], Usage]:
            return self._scores(body, len(texts)), self._usage_of(body, tokens, searches)

        send = partial(self._client.post, "rerank", self._body(query, texts))
        scores, usage = await self._client.ask(send, read, lambda: tokens, self._lost)
        shares = usage.shared_by(len(scores))
        return [
            Reply({"score": score}, usage=share)
            for score, share in zip(scores, shares, strict=True)
        ]

    def _body(self, query: str, texts: Sequence[str]) -> dict[str, Any]:
        dialect, card = self._dialect, self._card
        body: dict[str, Any] = {"model": self._ref.model} if dialect.names_model else {}
        body |= {"query": query, dialect.documents: texts, **dialect.settings}
        if dialect.how_many:
            body[dialect.how_many] = len(texts)
        if dialect.cut and card.context_tokens:
            body[dialect.cut] = card.context_tokens
        return body | card.extra_body

    def _scores(self, body: Any, count: int) -> list[float]:
        """Return the scores in the order of the documents.

        Raises:
            RetryableError: not exactly one score per document, or a score outside [0, 1].
        """
        name = self._dialect.results
        results = body.get(name) if name and isinstance(body, dict) else body
        if not isinstance(results, list) or not all(isinstance(item, dict) for item in results):
            raise RetryableError("200 without a list of results", billed=True)
        scores: dict[int, float] = {}
        for result in results:
            index, score = result.get("index"), result.get(self._dialect.score)
            if type(index) is not int or not 0 <= index < count:
                raise RetryableError(
                    f"a result for document {shown(index)} of {count} (from 0)", billed=True
                )
            if index in scores:
                raise RetryableError(f"two results for document {index}", billed=True)
            number = as_probability(score)
            if number is None:
                raise RetryableError(
                    f"{shown(score)} as the score of document {index}; expected a number in [0, 1] "
                    "(raw scores of a model without an activation are not supported)",
                    billed=True,
                )
            scores[index] = number
        if len(scores) < count:
            raise RetryableError(f"{len(scores)} results for {count} documents", billed=True)
        return [scores[index] for index in range(count)]

    def _usage_of(self, body: Any, tokens: int, searches: int) -> Usage:
        """Return the usage in the reply, else the estimate; also where a server says 0."""
        used = count_at(body, "usage", "total_tokens")
        billed = count_at(body, "meta", "billed_units", "search_units")
        return self._usage(used or tokens, billed or searches)

    def _estimated(self, payloads: Sequence[Any]) -> tuple[int, int]:
        """Return the estimated tokens and searches of one call."""
        sizes = [self._pair_tokens(query, self._cut(query, text)) for query, text in payloads]
        chunk = self._dialect.chunk_tokens
        chunks = sum(-(-size // chunk) for size in sizes) if chunk else 1
        return sum(sizes), -(-chunks // self._dialect.most_documents)

    def _usage(self, tokens: int, searches: int) -> Usage:
        return Usage(tokens, 0, self._card.usd(tokens, searches=searches))

    def _cut(self, query: str, document: str) -> str:
        context = self._card.context_tokens
        if context is None:
            return document
        room = int(context * SAFETY_SHARE) - self._pair_tokens(query, "")
        return cut_to_estimate(document, max(room, 0))

    @staticmethod
    def _pair_tokens(query: str, text: str) -> int:
        return estimate_tokens(query) + estimate_tokens(text) + _AROUND_TOKENS
