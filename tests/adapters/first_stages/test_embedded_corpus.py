"""Vectors on disk: computed once, kept after a kill, tied to the corpus, in bounded memory."""

import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from prism_cli.adapters.first_stages import embedded_corpus
from prism_cli.adapters.first_stages.bi_encoder import best_hits
from prism_cli.adapters.first_stages.embedded_corpus import EmbeddedCorpus
from prism_cli.errors import LockedError, MissingDataError
from prism_cli.shards.lock import output_lock

DOCUMENTS = [(f"d{number}", f"text {'x' * (number % 7)} {number}") for number in range(45)]


class Embedder:
    """Compute a vector from a text's bytes and record the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        return np.array([[len(text), hash_of(text)] for text in texts], dtype=np.float32)


def hash_of(text: str) -> int:
    return sum(text.encode()) % 997


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_corpus, "BLOCK", 10)


def corpus(documents: list[tuple[str, str]] = DOCUMENTS, kind: str = "float32") -> EmbeddedCorpus:
    return EmbeddedCorpus(lambda: documents, Path("kept"), "model 1", kind)


def filled(corpus: EmbeddedCorpus) -> list[str]:
    """Return the texts that had to be embedded; check that the pieces cover the whole corpus."""
    embedder = Embedder()
    assert sum(corpus.fill(embedder)) == corpus.size
    return embedder.texts


def whole(embedded: EmbeddedCorpus) -> dict[str, list[float]]:
    return {
        doc_id: vector.tolist()
        for doc_ids, vectors in embedded.blocks()
        for doc_id, vector in zip(doc_ids, vectors, strict=True)
    }


def test_each_document_is_embedded_once_and_stored_by_its_id() -> None:
    assert sorted(filled(corpus())) == sorted(text for _, text in DOCUMENTS)
    assert whole(corpus()) == {doc_id: [len(text), hash_of(text)] for doc_id, text in DOCUMENTS}
    assert filled(corpus()) == []


def test_a_stopped_run_resumes_after_its_last_complete_block() -> None:
    long = [(doc_id, f"{text} {'x' * 9000}") for doc_id, text in DOCUMENTS]
    pieces = corpus(long).fill(Embedder())
    assert [next(pieces) for _ in range(5)] == [8, 2, 8, 2, 8]
    pieces.close()
    assert len(filled(corpus(long))) == 45 - 20
    assert len(whole(corpus(long))) == 45


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00v\x00", None])
def test_an_incomplete_block_is_recomputed(damage: bytes | None) -> None:
    embedded = corpus()
    filled(embedded)
    path = embedded.block_folder / "00002.npy"
    path.write_bytes(path.read_bytes()[:-8] if damage is None else damage)
    assert filled(corpus()) == sorted(
        (text for _, text in DOCUMENTS[20:30]), key=lambda text: (-len(text), text)
    )


def test_other_content_model_or_dtype_has_its_own_cache() -> None:
    places = {
        corpus().block_folder,
        corpus(DOCUMENTS[:44]).block_folder,
        corpus([*DOCUMENTS[:44], ("d44", "other")]).block_folder,
        corpus([*DOCUMENTS[:44], ("e44", DOCUMENTS[44][1])]).block_folder,
        corpus(kind="float16").block_folder,
        EmbeddedCorpus(lambda: DOCUMENTS, Path("kept"), "model 2", "float32").block_folder,
    }
    assert len(places) == 6


def test_two_runs_do_not_embed_the_same_corpus_at_once() -> None:
    embedded = corpus()
    with output_lock(embedded.block_folder / "vectors"), pytest.raises(LockedError):
        list(embedded.fill(Embedder()))


def test_a_corpus_that_shrank_during_the_search_is_reported() -> None:
    documents = list(DOCUMENTS)
    embedded = corpus(documents)
    filled(embedded)
    documents.pop()
    with pytest.raises(MissingDataError, match="run the same command again"):
        whole(embedded)


WORK = """
import sys, time
from pathlib import Path
import numpy as np
from prism_cli.adapters.first_stages import embedded_corpus
embedded_corpus.BLOCK = 10
def embed(texts):
    time.sleep(0.2)
    return np.zeros((len(texts), 2), np.float32)
documents = [(f"d{n}", f"text {'x' * (n % 7)} {n}") for n in range(45)]
one = embedded_corpus.EmbeddedCorpus(lambda: documents, Path("kept"), "model 1", "float32")
for _ in one.fill(embed):
    pass
"""


def test_a_kill_leaves_complete_blocks_and_the_rest_is_computed_later() -> None:
    root = str(Path(__file__).parents[3])
    work = subprocess.Popen([sys.executable, "-c", WORK], env={"PYTHONPATH": root})
    second = corpus().block_folder / "00001.npy"
    while not second.exists() and work.poll() is None:
        time.sleep(0.01)
    work.send_signal(signal.SIGKILL)
    work.wait()
    blocks_before = len(list(second.parent.glob("0*.npy")))
    assert 2 <= blocks_before < 5
    assert len(filled(corpus())) == 45 - 10 * blocks_before


def test_memory_does_not_grow_with_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_corpus, "BLOCK", 256)
    width, lot = 128, np.random.default_rng(1)
    queries = lot.standard_normal((20, width)).astype(np.float32)

    def peak(count: int) -> int:
        def documents() -> Iterator[tuple[str, str]]:
            return ((f"d{number}", f"text {number}") for number in range(count))

        embedded = EmbeddedCorpus(documents, Path("kept"), f"model {count}", "float32")
        tracemalloc.start()
        for _ in embedded.fill(lambda texts: lot.standard_normal((len(texts), width))):
            pass
        rankings = best_hits(queries, embedded.blocks(), 10, torch.device("cpu"))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert all(len(hits) == 10 for hits in rankings)
        return used

    peak(512)
    small, large = peak(1024), peak(16_384)
    assert large < 1.2 * small
    assert large < 16_384 * width * 4 / 2
