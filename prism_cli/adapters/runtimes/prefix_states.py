"""Cached states of prompts up to the document, computed once for all documents of a query."""

from collections import OrderedDict
from collections.abc import Sequence

from prism_cli.adapters.runtimes.batch_plan import PREFIX_TOKENS, plan_prefixes
from prism_cli.errors import RowError
from prism_cli.modeling.encode import EncodedPrompt, PromptEncoder
from prism_cli.modeling.forward_pass import ForwardPass
from prism_cli.modeling.packed_rows import common_prefix
from prism_cli.modeling.prefix_cache import PrefixCache

_QUERIES = ("a", "7", "é", ".")
"""Sample queries: all prefixes share what these share."""


class PrefixStates:
    """Cache of prefix states by query, of at most PREFIX_TOKENS tokens.

    The beginning that all prefixes share is computed once, alone. The rounding of a state depends
    on the prefixes computed in the same pass; these are fixed by the plan, so that results do not
    depend on earlier plans or on a kill.
    """

    def __init__(self, forward: ForwardPass, encoder: PromptEncoder) -> None:
        self._forward = forward
        self._encoder = encoder
        self._shared_ids = _shared_ids(encoder)
        self._shared_prefix: PrefixCache | None = None
        self._states: OrderedDict[str, PrefixCache] = OrderedDict()
        self._groups: dict[str, list[str]] = {}

    def begin_plan(
        self, queries: Sequence[str], prompts: Sequence[EncodedPrompt], batch_tokens: int
    ) -> None:
        """Set which prefixes are computed together."""
        self.clear()
        self._groups = {}
        if self._forward.padding_is_safe:
            prefixes, shared = [len(prompt.prefix_ids) for prompt in prompts], len(self._shared_ids)
            for rows in plan_prefixes(queries, prefixes, shared, batch_tokens):
                group = [queries[row] for row in rows]
                self._groups |= dict.fromkeys(group, group)

    def of(self, queries: Sequence[str], prompts: Sequence[EncodedPrompt]) -> list[PrefixCache]:
        """Return the state of each prompt's prefix; compute those that are not cached."""
        for query in queries:
            if query not in self._states:
                group = self._groups.get(query, [query])
                states = self._computed([self._encoder.prefix_ids(member) for member in group])
                self._states.update(zip(group, states, strict=True))
            self._states.move_to_end(query)
        of_queries = [self._states[query] for query in queries]
        held = sum(state.length for state in self._states.values())
        while held > PREFIX_TOKENS and len(self._states) > len(set(queries)):
            held -= self._states.popitem(last=False)[1].length
        return of_queries

    def clear(self) -> None:
        """Drop the states of queries."""
        self._states.clear()

    def forget(self) -> None:
        """Drop all states, including the shared prefix."""
        self.clear()
        self._shared_prefix = None

    def _computed(self, prefixes: list[list[int]]) -> list[PrefixCache]:
        shared = len(self._shared_ids)
        if not shared or any(ids[:shared] != self._shared_ids for ids in prefixes):
            return self._forward.prefill(prefixes)
        if self._shared_prefix is None:
            self._shared_prefix = self._forward.prefill([self._shared_ids])[0]
        return self._forward.prefill([ids[shared:] for ids in prefixes], self._shared_prefix)


def _shared_ids(encoder: PromptEncoder) -> list[int]:
    """Return the first tokens of every prefix; [] if prompts have no room for a query."""
    try:
        prefixes = [encoder.prefix_ids(query) for query in _QUERIES]
    except RowError:
        return []
    return prefixes[0][: common_prefix(prefixes)]
