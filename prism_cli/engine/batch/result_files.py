"""Replies in the result files of a batch: one for each key, and whether paid ones are missing."""

from collections.abc import Iterable, Mapping

from prism_cli.batch_ports import BatchState
from prism_cli.engine.batch.store import NOT_ANSWERED

OK = 200


def by_key(replies: Iterable[tuple[bytes, int, bytes]]) -> dict[bytes, tuple[int, bytes]]:
    """Return (status, body) by key; of repeated keys the last, but an answer is never replaced."""
    kept: dict[bytes, tuple[int, bytes]] = {}
    for key, status, body in replies:
        if kept.get(key, (NOT_ANSWERED, b""))[0] != OK:
            kept[key] = status, body
    return kept


def answered(replies: Mapping[bytes, tuple[int, bytes]]) -> int:
    """Return the number of questions with a reply, be it a refusal."""
    return sum(status != NOT_ANSWERED for status, _ in replies.values())


def lacks_replies(
    state: BatchState, requests: int, replies: Mapping[bytes, tuple[int, bytes]]
) -> bool:
    """Return whether the files of an ended batch lack replies that were paid for: a file may be
    cut, gone, or not written yet.

    Args:
        requests: number of the batch's questions.
    """
    if state.completed is None:  # each question of a completed batch has a line
        return state.status == "completed" and len(replies) < requests
    good = sum(status == OK for status, _ in replies.values())
    refused = answered(replies) - good  # some providers count refusals as completed
    return good + max(0, refused - (state.failed or 0)) < state.completed
