"""Batch store: one holder per key, replies joined by key, closed once."""

import sqlite3
from pathlib import Path

import pytest

from prism_cli.engine.batch.store import LOCK_NAME, NOT_ANSWERED, BatchStore
from prism_cli.errors import StorageError
from prism_cli.shards import lock
from prism_cli.shards.lock import output_lock

A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


@pytest.fixture
def store(tmp_path: Path) -> BatchStore:
    return BatchStore(tmp_path / "batches.sqlite")


def opened(store: BatchStore, submission: str, *keys: bytes) -> None:
    store.add(submission, "lab", "lab/m", 0.5, keys)
    store.mark_creating(submission, "")
    store.mark_open(submission, f"batch of {submission}")


def test_a_key_is_held_by_one_submission(store: BatchStore) -> None:
    store.add("one", "lab", "lab/m", 0.5, [A, B])
    assert store.holders([A]) == {}
    with pytest.raises(StorageError):
        store.add("two", "lab", "lab/m", 0.5, [C, B])
    assert [submission.id for submission in store.unsettled("lab")] == ["one"]
    store.drop("one")
    opened(store, "two", C, B)
    assert store.holders([A, B, C]) == {B: "two", C: "two"}
    assert (store.unsettled("lab"), store.unsettled("other")) == ([], [])


def test_what_a_live_process_is_about_to_send_is_held(store: BatchStore) -> None:
    store.add("one", "lab", "lab/m", 0.5, [A])
    with output_lock(store.path.with_name(LOCK_NAME)):
        assert store.holders([A, B], include_uncertain=True) == {A: "one"}
        assert store.holders([A, B]) == {}
    assert store.holders([A, B], include_uncertain=True) == {}  # it was killed


@pytest.mark.parametrize("locks", [None, ""], ids=["no list", "a list of another namespace"])
def test_without_a_list_of_locks_what_may_be_about_to_be_sent_is_held(
    store: BatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str | None
) -> None:
    if locks is not None:
        (tmp_path / "locks").write_text(locks)
    monkeypatch.setattr(lock, "_KERNEL_LOCKS", tmp_path / "locks")
    store.add("one", "lab", "lab/m", 0.5, [A])
    assert store.holders([A], include_uncertain=True) == {}  # nobody has ever locked it
    with output_lock(store.path.with_name(LOCK_NAME)):
        assert store.holders([A], include_uncertain=True) == {A: "one"}


def test_a_store_of_an_earlier_version_is_continued(store: BatchStore) -> None:
    opened(store, "one", A)
    with sqlite3.connect(store.path) as db:
        db.execute("ALTER TABLE intents DROP COLUMN file")
    continued = BatchStore(store.path)
    continued.add("two", "lab", "lab/m", 0.5, [B])
    continued.mark_creating("two", "file-2")
    assert [(each.id, each.file) for each in continued.unsettled("lab")] == [("two", "file-2")]
    assert continued.holders([A, B]) == {A: "one"}


def test_replies_are_joined_by_key_and_only_once(store: BatchStore) -> None:
    opened(store, "one", A, B)
    opened(store, "two", C)
    store.store_replies("one", [(B, 200, b"{}"), (C, 200, b"stray"), (b"?", 200, b"")], "expired")
    replies = store.replies([A, B, C])
    assert (replies[A].status, replies[A].body) == (NOT_ANSWERED, b"expired")
    assert (replies[B].status, replies[B].body) == (200, b"{}")
    assert C not in replies
    assert store.holders([A, B, C]) == {C: "two"}
    store.store_replies("one", [(A, 200, b"late")], "")
    assert store.replies([A]) == {A: replies[A]}
    assert [submission.id for submission in store.open_submissions(["one", "two"])] == ["two"]
    store.forget({A: replies[A]})
    assert store.replies([A, B]) == {B: replies[B]}
