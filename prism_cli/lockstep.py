"""Works that advance together, so that what they ask for shares batches."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K")
Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


def in_step(
    works: Mapping[K, Generator[Sequence[Q], Sequence[A], R]],
    answer: Callable[[list[Q]], Sequence[A]],
) -> dict[K, R]:
    """Run generators to their ends, and return their results.

    Args:
        works: each yields questions, and is sent the answers in the same order.
        answer: gets the questions of all works of a step.
    """
    results: dict[K, R] = {}
    sent: dict[K, list[A] | None] = dict.fromkeys(works)
    while sent:
        asked: dict[K, Sequence[Q]] = {}
        for key, answers in sent.items():
            try:
                work = works[key]
                asked[key] = next(work) if answers is None else work.send(answers)
            except StopIteration as stop:
                results[key] = stop.value
        questions = [one for group in asked.values() for one in group]
        given = iter(answer(questions) if questions else ())
        sent = {key: [next(given) for _ in group] for key, group in asked.items()}
    return results
