"""The states of prompts up to the document: each computed once for the documents of its query."""

from collections import OrderedDict
from collections.abc import Sequence

from prism_cli.adapters.runtimes.batch_plan import PREFIX_TOKENS, plan_prefixes
from prism_cli.errors import RowError
from prism_cli.modeling.encode import EncodedPrompt, PromptEncoder
from prism_cli.modeling.forward_pass import ForwardPass
from prism_cli.modeling.packed_rows import common_prefix
from prism_cli.modeling.prefix_cache import PrefixCache

_QUERIES = ("a", "7", "é", ".")
"""What their prefixes share, all do."""


class PrefixStates:
    """States by query, of a plan's queries; PREFIX_TOKENS of them are held at a time.

    What all prefixes begin with is computed once, alone. A prefix's numbers depend, in rounding, on
    those computed with it: always the same of its plan, and none of an earlier one, whatever a kill
    has lost.
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
        """Say which prefixes are computed together from now on."""
        self.clear()
        self._groups = {}
        if self._forward.padding_is_safe:
            prefixes, shared = [len(one.prefix_ids) for one in prompts], len(self._shared_ids)
            for rows in plan_prefixes(queries, prefixes, shared, batch_tokens):
                group = [queries[row] for row in rows]
                self._groups |= dict.fromkeys(group, group)

    def of(self, queries: Sequence[str], prompts: Sequence[EncodedPrompt]) -> list[PrefixCache]:
        """The state of each prompt's prefix, computed where it is not held."""
        for query in queries:
            if query not in self._states:
                group = self._groups.get(query, [query])
                made = self._computed([self._encoder.prefix_ids(one) for one in group])
                self._states.update(zip(group, made, strict=True))
            self._states.move_to_end(query)
        found = [self._states[query] for query in queries]
        held = sum(state.length for state in self._states.values())
        while held > PREFIX_TOKENS and len(self._states) > len(set(queries)):
            held -= self._states.popitem(last=False)[1].length
        return found

    def clear(self) -> None:
        """Let go of the states."""
        self._states.clear()

    def forget(self) -> None:
        """Let go of all that was computed."""
        self.clear()
        self._shared_prefix = None

    def _computed(self, prefixes: list[list[int]]) -> list[PrefixCache]:
        shared = len(self._shared_ids)
        if not shared or any(one[:shared] != self._shared_ids for one in prefixes):
            return self._forward.prefill(prefixes)
        if self._shared_prefix is None:
            self._shared_prefix = self._forward.prefill([self._shared_ids])[0]
        return self._forward.prefill([one[shared:] for one in prefixes], self._shared_prefix)


def _shared_ids(encoder: PromptEncoder) -> list[int]:
    """First tokens of every prefix; [] where prompts are too short for any."""
    try:
        prefixes = [encoder.prefix_ids(query) for query in _QUERIES]
    except RowError:
        return []
    return prefixes[0][: common_prefix(prefixes)]
