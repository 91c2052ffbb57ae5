"""Cache of a corpus's vectors on disk, in blocks that are computed once and survive a kill.

FOLDER/KEY/00000.npy … hold BLOCK documents each, in the corpus's order. KEY depends on the model
and the corpus's content, so that other splits, outputs and rerankers share them.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from prism_cli.adapters.teachers.batch_plan import plan_pairs
from prism_cli.errors import MissingDataError
from prism_cli.shards.lock import output_lock
from prism_cli.shards.writer import whole_file

BLOCK = 1024
"""Documents per file: the most that a kill loses, and that memory holds."""

Vectors = np.ndarray[tuple[int, int], np.dtype[Any]]
Documents = Callable[[], Iterable[tuple[str, str]]]


class EmbeddedCorpus:
    """A corpus embedded by one model.

    Args:
        documents: returns (doc_id, text) of the whole corpus; called for each pass.
        folder: folder of the vectors; created with the first block.
        fingerprint: covers everything besides the text that determines a document's vector.
        kind: float dtype of the stored vectors.
    """

    def __init__(self, documents: Documents, folder: Path, fingerprint: str, kind: str) -> None:
        self._documents, self._kind = documents, np.dtype(kind)
        self._fingerprint, self._folder = fingerprint, folder
        self._digest: tuple[int, str] | None = None

    @property
    def size(self) -> int:
        """Number of documents; the first access reads the corpus once."""
        return self._count_and_digest()[0]

    @property
    def block_folder(self) -> Path:
        """Folder of the blocks."""
        key = sha256(f"{self._fingerprint}\0{self._kind}\0{self._count_and_digest()[1]}".encode())
        return self._folder / key.hexdigest()[:32]

    def fill(self, embed: Callable[[list[str]], Vectors]) -> Iterator[int]:
        """Compute missing blocks; yield the number of documents of each batch.

        Args:
            embed: returns the vectors of the texts of one batch.

        Raises:
            LockedError: another run computes the same vectors.
        """
        if all(self._block(number) is not None for number in range(self._blocks)):
            yield self.size
            return
        with output_lock(self.block_folder / "vectors"):
            with whole_file(self.block_folder / "about.json") as file:
                about = {"model": self._fingerprint, "corpus": self._count_and_digest()[1]}
                file.write(orjson.dumps(about | {"documents": self.size}))
            for number, documents in enumerate(self._chunks()):
                if self._block(number) is not None:
                    yield len(documents)
                else:
                    yield from self._fill_block(number, [text for _, text in documents], embed)

    def blocks(self) -> Iterator[tuple[list[str], Vectors]]:
        """Yield (doc_ids, float32 [documents, width]) of each block; call `fill` before.

        Raises:
            MissingDataError: the corpus changed since, or a block is missing.
        """
        for number, documents in enumerate(self._chunks()):
            vectors = self._block(number) if number < self._blocks else None
            if vectors is None or len(vectors) != len(documents):
                raise MissingDataError(
                    f"{self._path(number)}: does not match the corpus: the corpus changed during "
                    "the run, or vectors were deleted; run the same command again"
                )
            yield [doc_id for doc_id, _ in documents], np.array(vectors, dtype=np.float32)

    def _fill_block(
        self, number: int, texts: list[str], embed: Callable[[list[str]], Vectors]
    ) -> Iterator[int]:
        *most, last = plan_pairs([("", text) for text in texts])
        parts = []
        for batch in most:
            parts.append(embed([texts[row] for row in batch]))
            yield len(batch)
        parts.append(embed([texts[row] for row in last]))
        rows = [row for batch in (*most, last) for row in batch]
        content = BytesIO()
        np.save(content, np.concatenate(parts).astype(self._kind)[np.argsort(rows)])
        with whole_file(self._path(number)) as file:
            file.write(content.getvalue())
        yield len(last)

    def _count_and_digest(self) -> tuple[int, str]:
        """Return the number of documents, and the SHA-256 (hex) over ids and texts."""
        if self._digest is None:
            count, digest = 0, sha256()
            for count, (doc_id, text) in enumerate(self._documents(), 1):  # noqa: B007
                digest.update(f"{len(doc_id)} {len(text)} {doc_id}{text}".encode())
            self._digest = count, digest.hexdigest()
        return self._digest

    @property
    def _blocks(self) -> int:
        return -(-self.size // BLOCK)

    def _chunks(self) -> Iterator[list[tuple[str, str]]]:
        documents = iter(self._documents())
        while chunk := list(islice(documents, BLOCK)):
            yield chunk

    def _path(self, number: int) -> Path:
        return self.block_folder / f"{number:05d}.npy"

    def _block(self, number: int) -> Vectors | None:
        """Return the memory-mapped block; None if it is missing or incomplete."""
        rows = min(BLOCK, self.size - number * BLOCK)
        try:
            block = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = block.ndim == 2 and len(block) == rows and block.dtype == self._kind
        return block if fits else None
