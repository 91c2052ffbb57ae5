"""The extractive generator: selects the document's sentences closest to the query by st:minilm."""

from collections.abc import Sequence
from typing import Any

from prism_cli.adapters.teachers.batch_plan import LONGEST_BYTES, plan_pairs
from prism_cli.adapters.teachers.bi_encoder import TextEncoder
from prism_cli.adapters.teachers.st_files import st_fingerprint, st_path
from prism_cli.domain.extraction import (
    best_statement,
    candidate_spans,
    chosen_indices,
    closest_within,
    contribution_of,
    joined_evidence,
)
from prism_cli.ports import Reply

MAX_ROWS = 32
MAX_TEXTS = 64
_ENCODER = "st:minilm"
NO_SENTENCE = "the document holds no sentence"


class ExtractiveGenerator:
    """Writes contribution and evidence from the document's own words.

    Payloads are ((query, title, document), attempt); title and attempt are ignored.

    Args:
        encoder: encoder of queries and sentences.
        max_sentences: maximum sentences of the evidence.
    """

    spec = "extractive"

    def __init__(self, encoder: TextEncoder, max_sentences: int) -> None:
        self._encoder = encoder
        self._max_sentences = max_sentences
        self.fingerprint = f"extractive 4 {max_sentences} {st_fingerprint(encoder.path)}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return batches by length of the document."""
        return plan_pairs(_pairs(payloads), max_pairs=MAX_ROWS, max_bytes=MAX_ROWS * LONGEST_BYTES)

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"contribution", "evidence"} per payload; refuse documents without sentences.

        Raises:
            ModelError: the encoder cannot be loaded.
        """
        pairs = _pairs(payloads)
        replies: list[Reply] = []
        for (_, document), (own_spans, closeness) in zip(pairs, self._compared(pairs), strict=True):
            if not own_spans:
                replies.append(Reply({}, NO_SENTENCE))
                continue
            sentences = [document[start:end] for start, end in own_spans]
            chosen = chosen_indices(closeness, self._max_sentences)
            best = sentences[best_statement(closeness, chosen, sentences)]
            replies.append(
                Reply(
                    {
                        "contribution": contribution_of(best, document),
                        "evidence": _joined(document, own_spans, chosen),
                    }
                )
            )
        return replies

    def _compared(
        self, pairs: Sequence[tuple[str, str]]
    ) -> list[tuple[list[tuple[int, int]], list[float]]]:
        """Return sentences of each (query, document), and their closeness to the query."""
        spans = [candidate_spans(query, document) for query, document in pairs]
        texts = [
            [document[start:end] for start, end in own_spans]
            for (_, document), own_spans in zip(pairs, spans, strict=True)
        ]
        vectors = self._vectors(texts)
        queries = list(dict.fromkeys(query for query, _ in pairs))
        query_vectors = dict(zip(queries, self._encoder.queries(queries), strict=True))
        return [
            (own_spans, [round(float(vectors[text] @ query_vectors[query]), 6) for text in own])
            for (query, _), own_spans, own in zip(pairs, spans, texts, strict=True)
        ]

    def _vectors(self, texts: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Return a unit vector per distinct sentence, computed in batches of similar length."""
        distinct = sorted(
            {text for sentences in texts for text in sentences}, key=lambda t: (-len(t), t)
        )
        vectors: dict[str, Any] = {}
        for begin in range(0, len(distinct), MAX_TEXTS):
            batch = distinct[begin : begin + MAX_TEXTS]
            vectors.update(zip(batch, self._encoder.documents(batch), strict=True))
        return vectors


class ClosestSentences(ExtractiveGenerator):
    """Selects sentences up to a length; payloads are ((query, characters, document), attempt)."""

    spec = "closest"

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__(encoder, 1)
        self.fingerprint = f"closest 3 {st_fingerprint(encoder.path)}"

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"evidence"} per payload; refuse documents without sentences.

        Raises:
            ModelError: the encoder cannot be loaded.
        """
        compared = self._compared(_pairs(payloads))
        return [
            Reply({"evidence": _joined(document, spans, closest_within(near, spans, characters))})
            if spans
            else Reply({}, NO_SENTENCE)
            for ((_, characters, document), _), (spans, near) in zip(
                payloads, compared, strict=True
            )
        ]


def load_closest(device: str = "auto") -> ClosestSentences:
    """Return the selector; raise as `load_extractive`."""
    return ClosestSentences(TextEncoder(_ENCODER, st_path(_ENCODER), device))


def load_extractive(max_sentences: int, device: str = "auto") -> ExtractiveGenerator:
    """Return the generator; its weights are loaded on first use.

    Raises:
        MissingPackageError: the embedded encoder is not installed.
    """
    return ExtractiveGenerator(TextEncoder(_ENCODER, st_path(_ENCODER), device), max_sentences)


def _joined(document: str, spans: Sequence[tuple[int, int]], chosen: Sequence[int]) -> str:
    return joined_evidence(document, [spans[index] for index in chosen])


def _pairs(payloads: Sequence[Any]) -> list[tuple[str, str]]:
    return [(query, document) for (query, _, document), _ in payloads]
