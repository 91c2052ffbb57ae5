"""Batching of prompts, as a pure function of their lengths and queries."""

from collections.abc import Hashable, Iterator, Sequence

PREFIX_TOKENS = 8192
"""Maximum prefix tokens with cached states (SmolLM2 in float32: 46 KB per token)."""
PROMPT_SHARE = 4
"""Maximum ratio of a batch's prompt tokens, whose keys and values are cached, to tail tokens."""


def plan_batches(
    queries: Sequence[Hashable],
    prefix_lengths: Sequence[int],
    tail_lengths: Sequence[int],
    batch_tokens: int,
    *,
    equal_lengths: bool = False,
) -> list[list[int]]:
    """Return indices in batches, each index once.

    Queries are split into chunks whose prefixes fit PREFIX_TOKENS. Rows of a chunk are sorted by
    descending tail length, so that batches have little padding and memory peaks first, and within a
    batch by query.

    Args:
        batch_tokens: maximum of rows times longest tail, and PROMPT_SHARE times that for whole
            prompts; a longer row gets its own batch.
        equal_lengths: batch only tails of the same length.
    """
    return [
        batch
        for chunk in _chunks(queries, prefix_lengths)
        for batch in _filled(chunk, prefix_lengths, tail_lengths, batch_tokens, equal_lengths)
    ]


def plan_prefixes(
    queries: Sequence[Hashable],
    prefix_lengths: Sequence[int],
    shared: int,
    batch_tokens: int,
) -> list[list[int]]:
    """Return groups of rows, one per query, whose prefixes are computed together, within the chunks
    of `plan_batches`.

    Args:
        shared: number of first tokens that all prefixes share, computed once before.
        batch_tokens: maximum of prefixes times their longest own tokens.
    """
    groups: list[list[int]] = []
    for chunk in _chunks(queries, prefix_lengths):
        firsts = list({queries[row]: row for row in reversed(chunk)}.values())
        firsts.sort(key=lambda row: (-prefix_lengths[row], row))
        room = 0
        for row in firsts:
            if room == 0 or (len(groups[-1]) + 1) * room > batch_tokens:
                groups.append([])
                room = max(1, prefix_lengths[row] - shared)
            groups[-1].append(row)
    return groups


def _chunks(queries: Sequence[Hashable], prefix_lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield rows in order of query, in chunks whose prefixes fit PREFIX_TOKENS."""
    by_query: dict[Hashable, list[int]] = {}
    for index, query in enumerate(queries):
        by_query.setdefault(query, []).append(index)
    chunk: list[int] = []
    held = 0
    for rows in by_query.values():
        tokens = prefix_lengths[rows[0]]
        if chunk and held + tokens > PREFIX_TOKENS:
            yield chunk
            chunk, held = [], 0
        chunk += rows
        held += tokens
    if chunk:
        yield chunk


def _filled(
    chunk: list[int],
    prefixes: Sequence[int],
    lengths: Sequence[int],
    batch_tokens: int,
    equal_lengths: bool,
) -> list[list[int]]:
    """Return the batches of one chunk, which is in order of query."""
    place = {index: number for number, index in enumerate(chunk)}
    batches: list[list[int]] = []
    batch: list[int] = []
    longest = 0
    lead = max(prefixes[index] for index in chunk)
    for index in sorted(chunk, key=lambda row: -lengths[row]):
        rows = len(batch) + 1
        full = (
            rows * longest > batch_tokens or rows * (lead + longest) > PROMPT_SHARE * batch_tokens
        )
        if batch and (full or (equal_lengths and lengths[index] != longest)):
            batches.append(batch)
            batch = []
        if not batch:
            longest = lengths[index]
        batch.append(index)
    batches.append(batch)
    return [sorted(rows, key=place.__getitem__) for rows in batches]
