"""Drivers of generators that yield questions and are sent the answers."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import TypeVar, cast

K = TypeVar("K")
Q = TypeVar("Q")
A = TypeVar("A")
R = TypeVar("R")


def in_step(
    works: Mapping[K, Generator[Sequence[Q], Sequence[A], R]],
    answer: Callable[[list[Q]], Sequence[A]],
) -> dict[K, R]:
    """Run generators to their ends together, so that their questions share batches.

    Args:
        answer: gets the questions of all generators of a step, and returns as many answers.

    Returns:
        The result of each.
    """
    results: dict[K, R] = {}
    sent: dict[K, list[A] | None] = dict.fromkeys(works)
    while sent:
        asked: dict[K, Sequence[Q]] = {}
        for key, answers in sent.items():
            try:
                asked[key] = _step(works[key], answers)
            except StopIteration as stop:
                results[key] = stop.value
        questions = [one for group in asked.values() for one in group]
        given = iter(answer(questions) if questions else ())
        sent = {key: [next(given) for _ in group] for key, group in asked.items()}
    return results


async def drive(
    work: Generator[Sequence[Q], Sequence[A], R],
    answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
    *,
    thread: asyncio.Lock | None = None,
) -> R:
    """Run a generator to its end, and return its result.

    Args:
        thread: run it in a thread, where it computes much between its questions; those with the
            same lock use one thread at a time.
    """

    def step(answers: Sequence[A] | None) -> tuple[Sequence[Q] | None, R | None]:
        try:
            return _step(work, answers), None
        except StopIteration as stop:  # cannot leave a thread
            return None, stop.value

    answers: Sequence[A] | None = None
    while True:
        if thread is None:
            asked, result = step(answers)
        else:
            async with thread:
                asked, result = await asyncio.to_thread(step, answers)
        if asked is None:
            return cast("R", result)
        answers = await answer(asked)


def _step(work: Generator[Sequence[Q], Sequence[A], R], answers: Sequence[A] | None) -> Sequence[Q]:
    return next(work) if answers is None else work.send(answers)
