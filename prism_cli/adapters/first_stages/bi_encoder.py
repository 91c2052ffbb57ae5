"""A sentence-transformers bi-encoder as first stage: exact search over a whole corpus.

Every document is compared with every query, without an approximate index. Memory holds the weights,
the corpus's ids, the queries' vectors and best hits, one block of BLOCK document vectors, and the
scores of QUERIES queries against it.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prism_cli.adapters.first_stages.embedded_corpus import Documents, EmbeddedCorpus, Vectors
from prism_cli.adapters.teachers.batch_plan import plan_pairs
from prism_cli.adapters.teachers.bi_encoder import TextEncoder
from prism_cli.adapters.teachers.remote_code import check_code, trusted_snapshot
from prism_cli.adapters.teachers.st_files import (
    BI_ENCODER,
    from_hub,
    st_fingerprint,
    st_kind,
    st_path,
)
from prism_cli.errors import ModelError
from prism_cli.modeling.loading import resolve_device, resolve_dtype

QUERIES = 1024
DECIMALS = 6
"""Decimals of a score: batching changes float32 by less, so that equal texts tie."""
_MARGIN = 10.0**-DECIMALS
_SIMILARITIES = ("cosine", "dot")

Hits = list[tuple[str, float]]


class BiEncoderFirstStage:
    """Ranks a corpus by cosine or dot product, as the model's configuration says.

    Args:
        documents: returns (doc_id, text) of the whole corpus.
        folder: folder of cached document vectors.
        fingerprint: fingerprint of the model's files and of the code that may run.
    """

    def __init__(
        self, encoder: TextEncoder, documents: Documents, folder: Path, fingerprint: str
    ) -> None:
        place = resolve_device(encoder.device)
        kind = resolve_dtype(encoder.dtype, place)
        self._encoder, self._torch_device = encoder, place
        self.spec = encoder.spec
        self.fingerprint = f"bi-encoder 1 {fingerprint} {kind} {place.type}"
        # Vectors from 16-bit weights are coarser than float16, which halves the disk space.
        kept = "float32" if kind == torch.float32 else "float16"
        self._corpus = EmbeddedCorpus(documents, folder, self.fingerprint, kept)

    def size(self) -> int:
        """Return the number of documents of the corpus, in one pass over it."""
        return self._corpus.size

    def prepare(self) -> Iterator[int]:
        """Embed documents that are not cached; yield the number of documents of each step.

        Raises:
            LockedError: another run embeds the same corpus.
            ModelError: the weights cannot be loaded, or return vectors that are not finite.
        """
        return self._corpus.fill(lambda texts: self._encoder.documents(texts, unit=self._unit))

    def search(self, queries: Sequence[tuple[str, str]], top_k: int) -> Iterator[Hits]:
        """Yield the best `top_k` documents of each (query_id, query), best first.

        Equal scores are in descending order of document id, as in trec_eval.
        """
        for _ in self.prepare():
            pass
        vectors = self._query_vectors([query for _, query in queries])
        self._encoder.unload()
        yield from best_hits(vectors, self._corpus.blocks(), top_k, self._torch_device)

    @property
    def _unit(self) -> bool:
        similarity = self._encoder.similarity
        if similarity not in _SIMILARITIES:
            raise ModelError(
                f"{self.spec}: compares by {similarity}; a first stage needs cosine or dot"
            )
        return similarity == "cosine"

    def _query_vectors(self, queries: Sequence[str]) -> Vectors:
        by_row: dict[int, Any] = {}
        for batch in plan_pairs([("", query) for query in queries]):
            vectors = self._encoder.queries([queries[row] for row in batch], unit=self._unit)
            by_row |= dict(zip(batch, vectors, strict=True))
        return np.array([by_row[row] for row in range(len(queries))], dtype=np.float32)


def best_hits(
    queries: Vectors, blocks: Iterable[tuple[list[str], Vectors]], top_k: int, device: torch.device
) -> list[Hits]:
    """Return the `top_k` (doc_id, score) of each query by dot product, in trec_eval's order.

    Args:
        queries: float32 [queries, width].
        blocks: (doc_ids, float32 [documents, width]) per block.
    """
    best: list[Hits] = [[] for _ in queries]
    floors = np.full(len(queries), -np.inf, dtype=np.float32)
    parts = [
        (start, torch.from_numpy(queries[start : start + QUERIES]).to(device))
        for start in range(0, len(queries), QUERIES)
    ]
    for doc_ids, vectors in blocks:
        columns = torch.from_numpy(vectors).to(device).T
        for start, part in parts:
            scores = (part @ columns).cpu().numpy()
            above = scores >= floors[start : start + len(scores), None]
            for row in np.flatnonzero(above.any(axis=1)).tolist():
                hits = _merged(best[start + row], doc_ids, scores[row], above[row], top_k)
                best[start + row] = hits
                if len(hits) == top_k:
                    floors[start + row] = hits[-1][1] - _MARGIN
    return best


def _merged(hits: Hits, doc_ids: list[str], scores: Any, above: Any, top_k: int) -> Hits:
    indices = np.flatnonzero(above)
    if len(indices) > top_k:
        floor = np.partition(scores[indices], len(indices) - top_k)[len(indices) - top_k]
        indices = indices[scores[indices] >= floor - _MARGIN]
    new = [(doc_ids[index], round(float(scores[index]), DECIMALS)) for index in indices.tolist()]
    return sorted(hits + new, key=lambda hit: (hit[1], hit[0]), reverse=True)[:top_k]


def load_bi_encoder(
    spec: str, documents: Documents, folder: Path, *, device: str, dtype: str, trusted: str | None
) -> BiEncoderFirstStage:
    """Return the first stage of `st:minilm`, `st:PATH` or `st:HUB_ID`, without loading weights.

    Args:
        trusted: REPO@COMMIT of the model whose code may run; None for none.

    Raises:
        UsageError: `trusted` has another form or names another model.
        ModelError: there is no such model, it is not a bi-encoder, or it needs untrusted code.
    """
    path = from_hub(spec, trusted_snapshot(spec, trusted)) if trusted else st_path(spec)
    check_code(spec, path, trusted=trusted is not None)
    if st_kind(spec, path) != BI_ENCODER:
        raise ModelError(f"{spec}: is a cross-encoder; a first stage needs a bi-encoder")
    fingerprint = st_fingerprint(path) + (f" code {trusted}" if trusted else "")
    encoder = TextEncoder(spec, path, device, dtype, trusted is not None)
    return BiEncoderFirstStage(encoder, documents, folder, fingerprint)
