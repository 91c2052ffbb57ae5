"""A sentence-transformers bi-encoder as first stage: exact search over a whole corpus.

Every document is compared with every query; no index approximates. Held at a time: the weights, the
corpus' ids (as reading it does anyway), the queries' vectors and best hits, one block of BLOCK
document vectors, and the scores of QUERIES queries against it.
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
"""Of a score; batching alone moves float32 by less, and equal texts shall tie."""
_MARGIN = 10.0**-DECIMALS
_SIMILARITIES = ("cosine", "dot")

Hits = list[tuple[str, float]]


class BiEncoderFirstStage:
    """Ranks a corpus by cosine or dot product, whichever the model says.

    Args:
        documents: gives (doc_id, text) of the whole corpus.
        folder: where document vectors are kept.
        fingerprint: of the model's files, and of the code that may run.
    """

    def __init__(
        self, encoder: TextEncoder, documents: Documents, folder: Path, fingerprint: str
    ) -> None:
        place = resolve_device(encoder.device)
        kind = resolve_dtype(encoder.dtype, place)
        self._encoder, self._place = encoder, place
        self.spec = encoder.spec
        self.fingerprint = f"bi-encoder 1 {fingerprint} {kind} {place.type}"
        # What 16-bit weights give is coarser than float16 is; there it halves the disk.
        kept = "float32" if kind == torch.float32 else "float16"
        self._corpus = EmbeddedCorpus(documents, folder, self.fingerprint, kept)

    def size(self) -> int:
        """Documents of the corpus, in one pass over it."""
        return self._corpus.size

    def prepare(self) -> Iterator[int]:
        """Embed what is not kept yet; gives the documents done since the last time.

        Raises:
            LockedError: another run embeds this very corpus.
            ModelError: the weights cannot be loaded, or give no finite vectors.
        """
        return self._corpus.fill(lambda texts: self._encoder.documents(texts, unit=self._unit))

    def search(self, queries: Sequence[tuple[str, str]], top_k: int) -> Iterator[Hits]:
        """For each (query_id, query) the best `top_k` documents, best first.

        Equal scores in falling order of document id, which is trec_eval's order.
        """
        for _ in self.prepare():
            pass
        asked = self._asked([query for _, query in queries])
        self._encoder.unload()
        yield from best_hits(asked, self._corpus.blocks(), top_k, self._place)

    @property
    def _unit(self) -> bool:
        similarity = self._encoder.similarity
        if similarity not in _SIMILARITIES:
            raise ModelError(
                f"{self.spec}: compares by {similarity}; a first stage needs cosine or dot"
            )
        return similarity == "cosine"

    def _asked(self, queries: Sequence[str]) -> Vectors:
        found: dict[int, Any] = {}
        for batch in plan_pairs([("", query) for query in queries]):
            vectors = self._encoder.queries([queries[row] for row in batch], unit=self._unit)
            found |= dict(zip(batch, vectors, strict=True))
        return np.array([found[row] for row in range(len(queries))], dtype=np.float32)


def best_hits(
    asked: Vectors, blocks: Iterable[tuple[list[str], Vectors]], top_k: int, place: torch.device
) -> list[Hits]:
    """The `top_k` (doc_id, score) of each query by dot product, as trec_eval orders them.

    Args:
        asked: float32 [queries, width].
        blocks: (doc_ids, float32 [documents, width]) each.
    """
    best: list[Hits] = [[] for _ in asked]
    floors = np.full(len(asked), -np.inf, dtype=np.float32)
    parts = [
        (start, torch.from_numpy(asked[start : start + QUERIES]).to(place))
        for start in range(0, len(asked), QUERIES)
    ]
    for doc_ids, vectors in blocks:
        columns = torch.from_numpy(vectors).to(place).T
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
    found = np.flatnonzero(above)
    if len(found) > top_k:
        floor = np.partition(scores[found], len(found) - top_k)[len(found) - top_k]
        found = found[scores[found] >= floor - _MARGIN]
    fresh = [(doc_ids[index], round(float(scores[index]), DECIMALS)) for index in found.tolist()]
    return sorted(hits + fresh, key=lambda one: (one[1], one[0]), reverse=True)[:top_k]


def load_bi_encoder(
    spec: str, documents: Documents, folder: Path, *, device: str, dtype: str, trusted: str | None
) -> BiEncoderFirstStage:
    """The first stage of `st:minilm`, `st:PATH` or `st:HUB_ID`; no weights are loaded yet.

    Args:
        trusted: REPO@COMMIT of the model whose code may run; None for none.

    Raises:
        UsageError: `trusted` is no such thing, or of another model.
        ModelError: no such model, no bi-encoder, or one that needs code which is not trusted.
    """
    path = from_hub(spec, trusted_snapshot(spec, trusted)) if trusted else st_path(spec)
    check_code(spec, path, trusted=trusted is not None)
    if st_kind(spec, path) != BI_ENCODER:
        raise ModelError(f"{spec}: is a cross-encoder; a first stage needs a bi-encoder")
    fingerprint = st_fingerprint(path) + (f" code {trusted}" if trusted else "")
    encoder = TextEncoder(spec, path, device, dtype, trusted is not None)
    return BiEncoderFirstStage(encoder, documents, folder, fingerprint)
