"""A local chat model as judge: the probability of yes rather than no as its first token."""

from collections.abc import Sequence
from typing import Any

import torch

from prism_cli.adapters.chat.local_model import LocalModel
from prism_cli.domain.rubric import JudgeTask
from prism_cli.domain.scoring import answer_of
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.encode import EncodedPrompt
from prism_cli.ports import Reply, Usage

SPELLINGS = (("yes", "no"), ("Yes", "No"), ("YES", "NO"))
DECIMALS = 6
"""Decimals of a probability; float32 has no more."""


class LocalJudge:
    """A BatchBackend; payloads are ((query, document), attempt).

    P(yes) is the softmax over the logits of yes and no at the answer's first position, summed over
    the spellings in which both words are single tokens: a spelling of one word alone would bias
    the probability.

    Raises:
        ModelError: both words are single tokens in no spelling.
    """

    gives_probability = True

    def __init__(self, model: LocalModel, task: JudgeTask) -> None:
        self._model = model
        self._task = task
        self.spec = model.spec
        self.fingerprint = f"{task.name} {task.fingerprint} odds 1 {model.fingerprint}"
        pairs = [tuple(map(model.encoder.single, pair)) for pair in SPELLINGS]
        complete = [pair for pair in pairs if None not in pair]
        if not complete:
            raise ModelError(
                f"{model.spec}: expected yes and no to be single tokens; its probability of yes "
                "cannot be read from one position"
            )
        self._words = torch.tensor(complete).T
        """[2, spellings]: ids of yes, ids of no."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return batches by length; pairs that do not fit the model form the last batch."""
        return self._model.plan([self._encoded(pair) for pair, _ in payloads])

    @torch.inference_mode()
    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"vote", "probability"} per pair; a query too long for the model is refused.

        Raises:
            ModelError: the weights are damaged.
        """
        encoded = [self._encoded(pair) for pair, _ in payloads]
        prompts = [item for item in encoded if isinstance(item, EncodedPrompt)]
        probabilities = iter(self._probabilities(prompts))
        return [
            Reply({}, refusal=item)
            if isinstance(item, str)
            else _judged(next(probabilities), len(item))
            for item in encoded
        ]

    def _probabilities(self, prompts: Sequence[EncodedPrompt]) -> list[float]:
        if not prompts:
            return []
        logits, _ = self._model.extend(prompts, keep=False)
        yes, no = logits[:, self._words.to(logits.device)].logsumexp(-1).unbind(-1)
        probabilities: list[float] = (yes - no).double().sigmoid().tolist()
        return probabilities

    def _encoded(self, pair: tuple[str, str]) -> EncodedPrompt | str:
        """Return the prompt with as much of the document as fits, or the reason of a refusal."""
        query, document = pair
        try:
            encoded, room = self._prompt(query, document)
            if len(encoded) <= room:
                return encoded
            bare = len(self._prompt(query, "")[0])
            ends = self._model.encoder.token_ends(document, room)
            tokens = len(ends)
            while room > bare:
                encoded, room = self._prompt(query, document[: ends[tokens - 1] if tokens else 0])
                if len(encoded) <= room:
                    return encoded
                share = (room - bare) / (len(encoded) - bare)  # fences may lengthen a text
                tokens = min(tokens - 1, int(tokens * share))
        except RowError as error:
            return error.reason
        return f"{self.spec} takes {room} tokens; the query leaves none for the document"

    def _prompt(self, query: str, document: str) -> tuple[EncodedPrompt, int]:
        """Return the ids of a prompt, and their maximum number."""
        prompt = self._task.prompt((query, document), 0)
        return self._model.encoder.encode(prompt.system, prompt.user), self._model.room(prompt)


def _judged(probability: float, tokens: int) -> Reply:
    value = {"vote": answer_of(probability), "probability": round(probability, DECIMALS)}
    return Reply(value, usage=Usage(tokens, 1))
