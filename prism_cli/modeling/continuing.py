"""Tokens that follow: a batch goes on token by token until each row has ended."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prism_cli.modeling.prompt_state import BatchState

Choice = Callable[[Tensor, Sequence[int]], Tensor]
"""(logits [rows, vocabulary], the rows' indices in the batch) -> tokens [rows]."""


class Stepper(Protocol):
    """What DensePass and HybridPass have in common here."""

    attention: list[bool]

    def step(self, state: BatchState, tokens: Tensor) -> Tensor: ...


def greedy(logits: Tensor, rows: Sequence[int]) -> Tensor:
    """The likeliest token of each row."""
    return logits.argmax(-1)


def continued(
    forward: Stepper,
    head: Callable[[Tensor], Tensor],
    state: BatchState,
    tokens: Tensor,
    stops: Tensor,
    limit: int,
    choose: Choice = greedy,
) -> list[list[int]]:
    """What follows `tokens` in each row, without the token that ends it.

    Args:
        head: hidden states to logits.
        state: of the batch before `tokens`; used up.
        tokens: [rows] int64; a row whose token is a stop has ended.
        stops: token ids that end a row.
        limit: tokens of a row at the most.
    """
    device = stops.device
    written: list[list[int]] = [[] for _ in tokens]
    active = list(range(len(written)))
    live = (~torch.isin(tokens, stops)).tolist()
    for _ in range(limit):
        if not any(live):
            break
        if live.count(False) * 8 >= len(live):  # else the copy costs more than it saves
            kept = [place for place, going_on in enumerate(live) if going_on]
            chosen = torch.tensor(kept, device=device)
            state, tokens = state.keep(chosen, forward.attention), tokens[chosen]
            active, live = [active[place] for place in kept], [True] * len(kept)
        tokens = choose(head(forward.step(state, tokens)), active)
        ended = torch.isin(tokens, stops).tolist()
        for place, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
            live[place] = live[place] and not ended[place]
            if live[place]:
                written[row].append(token)
    return written


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end a text, as model and tokenizer say."""
    config: Any = getattr(model, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    stops = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id}
    stops.add(tokenizer.get_added_vocab().get("<|endoftext|>"))
    return {stop for stop in stops if isinstance(stop, int)}
