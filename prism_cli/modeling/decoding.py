"""Batched decoding: continue the rows of a batch until each has ended.

If the model supports rollback, each pass also verifies a row's draft. Draft tokens are accepted as
long as the model chooses the same ones, so the text equals that of token-by-token decoding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prism_cli.modeling.prefix_cache import BatchCache, gather_rows
from prism_cli.modeling.prompt_lookup import PromptLookup

PASS_TOKENS = 1024
"""Maximum tokens of one pass with drafts; their logits are in memory together."""

Part = tuple[BatchCache, Sequence[int]]
"""A batch, and indices of some of its rows."""
Choice = Callable[[Tensor, Sequence[int]], Tensor]
"""(logits [tokens, vocabulary], the row of each token) -> the next tokens [tokens]."""


class Stepper(Protocol):
    """The interface of DensePass and HybridPass that decoding uses."""

    attention: list[bool]
    supports_rollback: bool

    def step(self, state: BatchCache, tokens: Sequence[Sequence[int]]) -> Tensor: ...


def greedy(logits: Tensor, rows: Sequence[int]) -> Tensor:
    """Return the most likely token of each row."""
    return logits.argmax(-1)


@dataclass(slots=True)
class PassCounts:
    """Amount of computation.

    Attributes:
        passes: through the model.
        rows: of all passes together.
        proposed, accepted: draft tokens.
    """

    passes: int = 0
    rows: int = 0
    proposed: int = 0
    accepted: int = 0

    def add(self, other: "PassCounts") -> None:
        """Add the counts of another batch."""
        for name in ("passes", "rows", "proposed", "accepted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class StopRule:
    """Stop tokens and closing characters that end a text.

    Args:
        stops: tokens that end a text and are not part of it.
        closing: characters that end a text and are its last part; "" for none.
        tokenizer: of the model.
    """

    def __init__(
        self, stops: set[int], tokenizer: PreTrainedTokenizerBase, closing: str = ""
    ) -> None:
        self.stops = stops
        self._closing = closing
        self._tokenizer: Any = tokenizer
        # A closing tag is several tokens, and the last may hold what follows it, such as ">\n".
        vocabulary = tokenizer.get_vocab() if closing else {}
        self._last_tokens = {id_ for token, id_ in vocabulary.items() if closing[-1] in token}

    def closed(self, tokens: Sequence[int]) -> bool:
        """Return True if the last of `tokens` completes the closing characters."""
        return (
            bool(self._closing)
            and tokens[-1] in self._last_tokens
            and self._closing in self._decoded(tokens)
        )

    def text(self, tokens: Sequence[int]) -> str:
        """Decode `tokens` up to and including the closing characters."""
        text = self._decoded(tokens)
        end = text.find(self._closing) if self._closing else -1
        return text if end < 0 else text[: end + len(self._closing)]

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))


@dataclass(slots=True)
class Generation:
    """One row of a batch that is decoded.

    Attributes:
        first: the token that the text starts from.
        limit: maximum number of tokens.
        stop_rule: ends it.
        draft: proposes draft tokens; `first` is not appended to it yet.
        tokens: the tokens generated behind `first`, without the stop token.
    """

    first: int
    limit: int
    stop_rule: StopRule
    draft: PromptLookup | None = None
    tokens: list[int] = field(default_factory=list)
    ended: bool = False

    def begin(self) -> None:
        """Process `first`."""
        self.ended = self.limit <= 0 or self.first in self.stop_rule.stops
        if self.draft is not None:
            self.draft.append(self.first)

    def next_inputs(self, max_draft: int) -> list[int]:
        """Return the last token and a draft of at most `max_draft` tokens behind it."""
        last = self.tokens[-1] if self.tokens else self.first
        room = min(max_draft, self.limit - len(self.tokens) - 1)
        return [last, *(self.draft.propose(room) if self.draft is not None and room > 0 else ())]

    def accept(self, inputs: Sequence[int], choices: Sequence[int]) -> int:
        """Append the choices up to the first that differs from the draft.

        Args:
            inputs: the tokens of the pass, from `next_inputs`.
            choices: the model's next token behind each of `inputs`.

        Returns:
            How many of `inputs` belong to the text.
        """
        accepted = 0
        for choice, proposed in zip(choices, [*inputs, None][1:], strict=True):
            accepted += 1
            if choice in self.stop_rule.stops:
                self.ended = True
                break
            self.tokens.append(choice)
            if self.draft is not None:
                self.draft.append(choice)
            self.ended = len(self.tokens) >= self.limit or self.stop_rule.closed(self.tokens)
            if self.ended or choice != proposed:
                break
        return accepted


class Decoder:
    """Texts that are generated together, one pass at a time; more can join between passes.

    A text whose `ended` is set between passes leaves the batch.

    Args:
        head: maps hidden states to logits.
        choose: gets each text's number, counted in the order of `add`. Where it depends on more
            than the logits, texts have no drafts.

    Attributes:
        counts: of all passes so far.
    """

    def __init__(
        self,
        forward: Stepper,
        head: Callable[[Tensor], Tensor],
        choose: Choice = greedy,
    ) -> None:
        self.counts = PassCounts()
        self._forward, self._head, self._choose = forward, head, choose
        self._state: BatchCache | None = None
        self._rows: list[tuple[int, Generation]] = []
        """Number and text of each row of the state."""
        self._added = 0
        # With rollback an ended row has no tokens in a pass and costs little; copying rows does.
        self._spare = 2 if forward.supports_rollback else 8

    def add(self, parts: Sequence[Part], texts: Sequence[Generation]) -> None:
        """Add texts.

        Args:
            parts: batches before each text's `first`, and indices of the texts' rows; consumed.
        """
        for text in texts:
            text.begin()
        live = self._live()
        if self._state is not None and live:
            parts = [(self._state, live), *parts]
        state, own = parts[0]
        if len(parts) > 1 or list(own) != list(range(len(state.positions))):
            state = gather_rows(parts, self._forward.attention)
        self._state = state
        self._rows = [*(self._rows[place] for place in live), *enumerate(texts, self._added)]
        self._added += len(texts)

    def step(self) -> bool:
        """Continue each text by one pass; return False if all have ended."""
        live = self._live()
        if not live or self._state is None:
            self._state, self._rows = None, []
            return False
        forward = self._forward
        ended = len(self._rows) - len(live)
        if ended and ended * self._spare >= len(self._rows):
            self._state = gather_rows([(self._state, live)], forward.attention)
            self._rows = [self._rows[place] for place in live]
        state, rows = self._state, self._rows
        max_draft = PASS_TOKENS // len(live) - 1 if forward.supports_rollback else 0
        inputs = [[] if text.ended else text.next_inputs(max_draft) for _, text in rows]
        owners = [number for (number, _), ids in zip(rows, inputs, strict=True) for _ in ids]
        choices = iter(self._choose(self._head(forward.step(state, inputs)), owners).tolist())
        accepted = [
            text.accept(ids, [next(choices) for _ in ids])
            for (_, text), ids in zip(rows, inputs, strict=True)
        ]
        state.positions = state.positions + state.positions.new_tensor(accepted)
        self.counts.passes += 1
        self.counts.rows += len(live)
        self.counts.proposed += len(owners) - len(live)
        self.counts.accepted += sum(accepted) - len(live)
        return True

    def run(self) -> PassCounts:
        """Continue all texts to their ends; return the counts."""
        while self.step():
            pass
        return self.counts

    def _live(self) -> list[int]:
        return [place for place, (_, text) in enumerate(self._rows) if not text.ended]


def decode(
    forward: Stepper,
    head: Callable[[Tensor], Tensor],
    state: BatchCache,
    texts: Sequence[Generation],
    choose: Choice = greedy,
) -> PassCounts:
    """Generate each of `texts` to its end; see Decoder."""
    decoder = Decoder(forward, head, choose)
    decoder.add([(state, range(len(texts)))], texts)
    return decoder.run()


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the stop tokens of model and tokenizer."""
    config: Any = getattr(model, "generation_config", None)
    ids = getattr(config, "eos_token_id", None)
    of_model = ids if isinstance(ids, list) else [ids]
    return tokenizer_stops(tokenizer) | {stop for stop in of_model if isinstance(stop, int)}


def tokenizer_stops(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the stop tokens of the tokenizer."""
    ids = (tokenizer.eos_token_id, tokenizer.get_added_vocab().get("<|endoftext|>"))
    return {stop for stop in ids if isinstance(stop, int)}
