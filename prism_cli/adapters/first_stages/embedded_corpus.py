"""The vectors of a corpus on disk, in blocks that are computed once and survive a kill.

FOLDER/KEY/00000.npy … hold BLOCK documents each, in the corpus' order; KEY is of the model and the
corpus' content, so another split, output or reranker finds them there.
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
"""Documents of a file: what a kill costs at the most, and what is held at a time."""

Vectors = np.ndarray[tuple[int, int], np.dtype[Any]]
Documents = Callable[[], Iterable[tuple[str, str]]]


class EmbeddedCorpus:
    """The corpus that `documents` gives, embedded by one model.

    Args:
        documents: gives (doc_id, text) of the whole corpus; read anew for each pass.
        folder: where vectors are kept; made when the first block is.
        fingerprint: all that decides a document's vector besides its text.
        kind: a float type; of what is kept.
    """

    def __init__(self, documents: Documents, folder: Path, fingerprint: str, kind: str) -> None:
        self._documents, self._kind = documents, np.dtype(kind)
        self._fingerprint, self._folder = fingerprint, folder
        self._seen: tuple[int, str] | None = None

    @property
    def size(self) -> int:
        """Documents; the first call reads the corpus once."""
        return self._survey()[0]

    @property
    def place(self) -> Path:
        """Where the blocks are."""
        key = sha256(f"{self._fingerprint}\0{self._kind}\0{self._survey()[1]}".encode())
        return self._folder / key.hexdigest()[:32]

    def fill(self, embed: Callable[[list[str]], Vectors]) -> Iterator[int]:
        """Compute the blocks that are not there; gives documents done, batch by batch.

        Args:
            embed: texts of one batch to their vectors.

        Raises:
            LockedError: another run is at it.
        """
        if all(self._block(number) is not None for number in range(self._blocks)):
            yield self.size
            return
        with output_lock(self.place / "vectors"):
            with whole_file(self.place / "about.json") as file:
                about = {"model": self._fingerprint, "corpus": self._survey()[1]}
                file.write(orjson.dumps(about | {"documents": self.size}))
            for number, documents in enumerate(self._chunks()):
                if self._block(number) is not None:
                    yield len(documents)
                else:
                    yield from self._fill_block(number, [text for _, text in documents], embed)

    def blocks(self) -> Iterator[tuple[list[str], Vectors]]:
        """(doc_ids, float32 [documents, width]), block by block. After `fill`.

        Raises:
            MissingDataError: the corpus changed since, or a block is gone.
        """
        for number, documents in enumerate(self._chunks()):
            vectors = self._block(number) if number < self._blocks else None
            if vectors is None or len(vectors) != len(documents):
                raise MissingDataError(
                    f"{self._path(number)}: does not fit the corpus, which was changed while it "
                    "was read, or lost its vectors; run the same command again"
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

    def _survey(self) -> tuple[int, str]:
        """Documents, and SHA-256 (hex) over ids and texts."""
        if self._seen is None:
            count, digest = 0, sha256()
            for count, (doc_id, text) in enumerate(self._documents(), 1):  # noqa: B007
                digest.update(f"{len(doc_id)} {len(text)} {doc_id}{text}".encode())
            self._seen = count, digest.hexdigest()
        return self._seen

    @property
    def _blocks(self) -> int:
        return -(-self.size // BLOCK)

    def _chunks(self) -> Iterator[list[tuple[str, str]]]:
        documents = iter(self._documents())
        while chunk := list(islice(documents, BLOCK)):
            yield chunk

    def _path(self, number: int) -> Path:
        return self.place / f"{number:05d}.npy"

    def _block(self, number: int) -> Vectors | None:
        """The block, not read before it is used; None where it is not there, or not whole."""
        rows = min(BLOCK, self.size - number * BLOCK)
        try:
            found = np.load(self._path(number), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = found.ndim == 2 and len(found) == rows and found.dtype == self._kind
        return found if fits else None
