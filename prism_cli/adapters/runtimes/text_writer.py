"""Writing of contribution and evidence after "yes": greedy and batched, with prompt lookup.

Drafts change texts only by rounding: several tokens per pass are summed in another order, as rows
of a larger batch are. In float32 this changes no token in practice; in bfloat16 and
float16 it now and then does, as any other batch would.
"""

import re
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from prism_cli.modeling.decoding import (
    Decoder,
    Generation,
    Part,
    PassCounts,
    Stepper,
    StopRule,
    stop_ids,
)
from prism_cli.modeling.encode import EncodedPrompt, PromptEncoder
from prism_cli.modeling.prompt_lookup import PromptLookup

CLOSING, CONTRIBUTION_CLOSING = "</evidence>", "</contribution>"
"""End of both texts, and of a contribution alone."""
CLOSINGS = {False: CLOSING, True: CONTRIBUTION_CLOSING}
"""The same, by whether it is a contribution alone."""
_BREAK = re.compile(r"[^A-Za-z0-9]*[.!?][^A-Za-z0-9]*")


def stop_rules(stops: set[int], tokenizer: PreTrainedTokenizerBase) -> dict[bool, StopRule]:
    """Return what ends a text, by whether it is a contribution alone."""
    return {alone: StopRule(stops, tokenizer, closing) for alone, closing in CLOSINGS.items()}


class TextWriter:
    """Writes the texts of rows whose verdict is yes.

    Args:
        drafts: propose what the document says; False: token by token.

    Attributes:
        stops: tokens that end a text.
        ends: what ends a text, by whether it is a contribution alone.
        passes: of all texts so far.
    """

    def __init__(
        self,
        forward: Stepper,
        model: PreTrainedModel,
        encoder: PromptEncoder,
        *,
        drafts: bool = True,
    ) -> None:
        self._forward = forward
        whole: Any = model
        self._head = whole.get_output_embeddings()
        tokenizer = encoder.tokenizer
        self.stops = {encoder.eos_id, *stop_ids(model, tokenizer)}
        self.ends = stop_rules(self.stops, tokenizer)
        self._yes = encoder.yes_id
        self._drafts = drafts and forward.supports_rollback
        self._form = encoder.encode_target("yes", "x", "x")
        vocabulary = tokenizer.get_vocab()
        self._breaks = {id_ for token, id_ in vocabulary.items() if _BREAK.fullmatch(token)}
        self.passes = PassCounts()

    def write(
        self,
        parts: Sequence[Part],
        prompts: Sequence[EncodedPrompt],
        limits: Sequence[int],
        contributions: Sequence[bool] | None = None,
    ) -> list[Generation]:
        """Return the texts of the chosen rows of some batches.

        Args:
            parts: states behind the prompts, and indices of rows.
            prompts, limits: of those rows, in order; at most so many tokens.
            contributions: True for a text that is a contribution alone.
        """
        alone = contributions or [False] * len(prompts)
        texts = [self.text(*row) for row in zip(prompts, limits, alone, strict=True)]
        decoder = self.decoder()
        decoder.add(parts, texts)
        self.passes.add(decoder.run())
        return texts

    def decoder(self) -> Decoder:
        """Return a decoder for texts of this model."""
        return Decoder(self._forward, self._head)

    def text(self, prompt: EncodedPrompt, limit: int, contribution: bool = False) -> Generation:
        """Return the text behind a prompt, not written yet, of at most `limit` tokens.

        Args:
            contribution: it ends after the contribution.
        """
        return Generation(self._yes, limit, self.ends[contribution], self._draft(prompt))

    def decoded(self, text: Generation) -> str:
        """Return the decoded text, with the verdict in front."""
        return text.stop_rule.text([self._yes, *text.tokens])

    def _draft(self, prompt: EncodedPrompt) -> PromptLookup | None:
        return PromptLookup(self._form + prompt.tail_ids, self._breaks) if self._drafts else None
