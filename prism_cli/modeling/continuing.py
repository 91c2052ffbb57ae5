"""Tokens that follow: a batch goes on until each row has ended.

Where the model can take tokens back, each pass also checks what a row's draft proposes; a proposal
is kept as far as it is what the model chooses anyway, so the text is that of single tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prism_cli.modeling.copied_drafts import CopiedDraft
from prism_cli.modeling.prompt_state import BatchState, gathered

PASS_TOKENS = 1024
"""Tokens of one pass with drafts, whose logits are held."""

Choice = Callable[[Tensor, Sequence[int]], Tensor]
"""(logits [tokens, vocabulary], each token's row) -> the tokens behind them [tokens]."""


class Stepper(Protocol):
    """What DensePass and HybridPass have in common here."""

    attention: list[bool]
    goes_back: bool

    def step(self, state: BatchState, tokens: Sequence[Sequence[int]]) -> Tensor: ...


def greedy(logits: Tensor, rows: Sequence[int]) -> Tensor:
    """The likeliest token of each row."""
    return logits.argmax(-1)


@dataclass(slots=True)
class Passes:
    """What was computed.

    Attributes:
        passes: through the model.
        rows: of all passes together.
        proposed, accepted: tokens of drafts.
    """

    passes: int = 0
    rows: int = 0
    proposed: int = 0
    accepted: int = 0

    def add(self, other: "Passes") -> None:
        """Add what another batch took."""
        for name in ("passes", "rows", "proposed", "accepted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Ends:
    """What ends a text.

    Args:
        stops: tokens that end it and are no part of it.
        closing: characters that end it and are its last part; "" for none.
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
        self._lasts = {id_ for token, id_ in vocabulary.items() if closing[-1] in token}

    def closed(self, tokens: Sequence[int]) -> bool:
        """Whether the last of `tokens` completes the closing characters."""
        return (
            bool(self._closing)
            and tokens[-1] in self._lasts
            and self._closing in self._decoded(tokens)
        )

    def text(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, up to and with the closing characters."""
        whole = self._decoded(tokens)
        end = whole.find(self._closing) if self._closing else -1
        return whole if end < 0 else whole[: end + len(self._closing)]

    def _decoded(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))


@dataclass(slots=True)
class Text:
    """One row that goes on.

    Attributes:
        first: the token that it goes on from.
        limit: tokens at the most.
        draft: proposes what may follow; it has not followed `first` yet.
        tokens: what was written behind `first`, without the stop token that ended it.
    """

    first: int
    limit: int
    draft: CopiedDraft | None = None
    tokens: list[int] = field(default_factory=list)
    ended: bool = False

    def begin(self, ends: Ends) -> None:
        """Look at `first`."""
        self.ended = self.limit <= 0 or self.first in ends.stops
        if self.draft is not None:
            self.draft.follow(self.first)

    def asked(self, most: int) -> list[int]:
        """The last token, and behind it what is proposed: at most `most` tokens."""
        last = self.tokens[-1] if self.tokens else self.first
        most = min(most, self.limit - len(self.tokens) - 1)
        return [last, *(self.draft.proposal(most) if self.draft is not None and most > 0 else ())]

    def take(self, asked: Sequence[int], answers: Sequence[int], ends: Ends) -> int:
        """Write what follows; how many of the tokens asked belong to the text.

        Args:
            answers: the token chosen behind each of `asked`.
        """
        right = 0
        for answer, proposed in zip(answers, [*asked, None][1:], strict=True):
            right += 1
            if answer in ends.stops:
                self.ended = True
                break
            self.tokens.append(answer)
            if self.draft is not None:
                self.draft.follow(answer)
            self.ended = len(self.tokens) >= self.limit or ends.closed(self.tokens)
            if self.ended or answer != proposed:
                break
        return right


def continued(
    forward: Stepper,
    head: Callable[[Tensor], Tensor],
    state: BatchState,
    texts: Sequence[Text],
    ends: Ends,
    choose: Choice = greedy,
) -> Passes:
    """Write each of `texts` to its end.

    Args:
        head: hidden states to logits.
        state: of the batch before each text's `first`; used up.
        texts: a row each; drafts only where `choose` looks at nothing but the logits.
    """
    counts = Passes()
    rows = list(range(len(texts)))
    for text in texts:
        text.begin(ends)
    # A row that has ended costs a pass little where rows may have no tokens, and a copy much.
    spare = 2 if forward.goes_back else 8
    while live := [place for place, row in enumerate(rows) if not texts[row].ended]:
        if len(live) < len(rows) and (len(rows) - len(live)) * spare >= len(rows):
            state = gathered([(state, live)], forward.attention)
            rows = [rows[place] for place in live]
        most = PASS_TOKENS // len(live) - 1 if forward.goes_back else 0
        asked = [[] if texts[row].ended else texts[row].asked(most) for row in rows]
        owners = [row for row, tokens in zip(rows, asked, strict=True) for _ in tokens]
        answers = iter(choose(head(forward.step(state, asked)), owners).tolist())
        right = [
            texts[row].take(tokens, [next(answers) for _ in tokens], ends)
            for row, tokens in zip(rows, asked, strict=True)
        ]
        state.positions = state.positions + state.positions.new_tensor(right)
        counts.passes += 1
        counts.rows += len(live)
        counts.proposed += len(owners) - len(live)
        counts.accepted += sum(right) - len(live)
    return counts


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end a text, as model and tokenizer say."""
    config: Any = getattr(model, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    of_model = named if isinstance(named, list) else [named]
    return tokenizer_stops(tokenizer) | {stop for stop in of_model if isinstance(stop, int)}


def tokenizer_stops(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end a text, as the tokenizer says."""
    ends = (tokenizer.eos_token_id, tokenizer.get_added_vocab().get("<|endoftext|>"))
    return {stop for stop in ends if isinstance(stop, int)}
