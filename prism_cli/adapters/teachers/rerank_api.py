"""A teacher behind a reranker API: the documents of one query in one call, as many as it takes."""

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import httpx2
import orjson

from prism_cli.adapters.providers.backend import ProviderBackend
from prism_cli.adapters.providers.model_ref import ModelRef
from prism_cli.adapters.providers.packing import SURE, packed
from prism_cli.adapters.providers.replies import AgainError, count_in, share_in
from prism_cli.adapters.teachers.rerank_dialects import DIALECTS
from prism_cli.domain.token_estimate import cut_to_estimate, estimate_tokens
from prism_cli.errors import RefusalError
from prism_cli.ports import Reply, Usage

_AROUND_TOKENS = 8
"""Of what the model puts around query and document."""
_FORM = "rerank 1"
"""Changes whenever what is sent for the same texts does."""


class RerankTeacher(ProviderBackend):
    """A CallBackend; payloads are (query, document text), values {"score": float in [0, 1]}.

    A document is cut by our own estimate to what the model's context leaves beside the query; the
    query is never cut.

    Args:
        ref: a model whose provider speaks one of DIALECTS.
    """

    def __init__(self, ref: ModelRef) -> None:
        super().__init__(ref)
        self._client, self._card = ref.client, ref.card
        self._dialect = DIALECTS[ref.api]
        decides = {
            "api": ref.api,
            "context": ref.card.context_tokens,
            "more": ref.card.extra_body,
        }
        whole = orjson.dumps(decides, option=orjson.OPT_SORT_KEYS)
        self.fingerprint = f"teacher {_FORM} {ref.spec} {sha256(whole).hexdigest()[:16]}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """The documents of a query together, up to the API's limits on documents and tokens."""
        most = self._card.max_documents or self._dialect.most_documents
        limit = (self._card.request_tokens or math.inf) * SURE
        sizes = (
            (query, self._pair_tokens(query, self._cut(query, text))) for query, text in payloads
        )
        return packed(sizes, most, limit)

    def estimate(self, payloads: Sequence[Any]) -> Usage:
        """Tokens and cost of one call."""
        return self._usage(*self._measured(payloads))

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """One score a document, of one query.

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
        measured = self._measured(payloads)

        async def send() -> httpx2.Response:
            return await self._client.post("rerank", self._body(query, texts))

        def read(found: Any) -> tuple[list[float], Usage]:
            return self._scores(found, len(texts)), self._used(found, *measured)

        scores, usage = await self._client.ask(send, read, measured[0], self._lost)
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

    def _scores(self, found: Any, count: int) -> list[float]:
        """The scores by the documents' order, every document's exactly once.

        Raises:
            AgainError: anything else, and a score that is no number in [0, 1].
        """
        name = self._dialect.results
        results = found.get(name) if name and isinstance(found, dict) else found
        if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
            raise AgainError("200 without a list of results", billed=True)
        scores: dict[int, float] = {}
        for one in results:
            index, score = one.get("index"), one.get(self._dialect.score)
            if type(index) is not int or not 0 <= index < count:
                raise AgainError(
                    f"a result for document {index!r} of {count} (from 0)", billed=True
                )
            if index in scores:
                raise AgainError(f"two results for document {index}", billed=True)
            share = share_in(score)
            if share is None:
                raise AgainError(
                    f"{score!r} as the score of document {index}; expected a number in [0, 1] "
                    "(raw scores of a model without an activation are none)",
                    billed=True,
                )
            scores[index] = share
        if len(scores) < count:
            raise AgainError(f"{len(scores)} results for {count} documents", billed=True)
        return [scores[index] for index in range(count)]

    def _used(self, found: Any, tokens: int, searches: int) -> Usage:
        """What the reply says was used, else what was thought."""
        told = count_in(found, "usage", "total_tokens")
        billed = count_in(found, "meta", "billed_units", "search_units")
        return self._usage(tokens if told is None else told, searches if billed is None else billed)

    def _measured(self, payloads: Sequence[Any]) -> tuple[int, int]:
        """Tokens and searches of one call, about."""
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
        room = int(context * SURE) - self._pair_tokens(query, "")
        return cut_to_estimate(document, max(room, 0))

    @staticmethod
    def _pair_tokens(query: str, text: str) -> int:
        return estimate_tokens(query) + estimate_tokens(text) + _AROUND_TOKENS
