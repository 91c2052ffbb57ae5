"""The book of batches: one holder a key, replies joined by key, closed once."""

from pathlib import Path

import pytest

from prism_cli.engine.batch.store import NOT_ANSWERED, BatchStore
from prism_cli.errors import StorageError

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


@pytest.fixture
def book(tmp_path: Path) -> BatchStore:
    return BatchStore(tmp_path / "batches.sqlite")


def opened(book: BatchStore, intent: str, *keys: bytes) -> None:
    book.intend(intent, "lab", "lab/m", 0.5, keys)
    book.creating(intent)
    book.created(intent, f"batch of {intent}")


def test_a_key_is_held_by_one_intent(book: BatchStore) -> None:
    book.intend("one", "lab", "lab/m", 0.5, [A, B])
    assert book.on_their_way([A]) == {}
    with pytest.raises(StorageError):
        book.intend("two", "lab", "lab/m", 0.5, [C, B])
    assert [one.id for one in book.unsettled("lab")] == ["one"]
    book.drop("one")
    opened(book, "two", C, B)
    assert book.on_their_way([A, B, C]) == {B: "two", C: "two"}
    assert (book.unsettled("lab"), book.unsettled("other")) == ([], [])


def test_replies_are_joined_by_key_and_only_once(book: BatchStore) -> None:
    opened(book, "one", A, B)
    opened(book, "two", C)
    book.fetched("one", [(B, 200, b"{}"), (C, 200, b"stray"), (b"?", 200, b"")], "expired")
    found = book.results([A, B, C])
    assert (found[A].status, found[A].body) == (NOT_ANSWERED, b"expired")
    assert (found[B].status, found[B].body) == (200, b"{}")
    assert C not in found
    assert book.on_their_way([A, B, C]) == {C: "two"}
    book.fetched("one", [(A, 200, b"late")], "")
    assert book.results([A]) == {A: found[A]}
    assert [one.id for one in book.open_intents(["one", "two"])] == ["two"]
    book.forget({A: found[A]})
    assert book.results([A, B]) == {B: found[B]}
