"""A chat model in this process as judge: the odds of yes against no as its answer's first token."""

from collections.abc import Sequence
from typing import Any

import torch

from prism_cli.adapters.chat.local_model import LocalModel
from prism_cli.domain.rubric import JudgeTask
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.encode import EncodedPrompt
from prism_cli.ports import Reply, Usage

SPELLINGS = (("yes", "no"), ("Yes", "No"), ("YES", "NO"))
DECIMALS = 6
"""Of a probability; float32 carries no more."""


class LocalJudge:
    """A BatchBackend; payloads are ((query, document), attempt).

    P(yes) is the softmax over the logits of yes and no at the answer's first position, summed over
    the spellings in which both words are single tokens: one word alone would tilt the odds.

    Raises:
        ModelError: there is no such spelling.
    """

    gives_probability = True

    def __init__(self, model: LocalModel, task: JudgeTask) -> None:
        self._model = model
        self._task = task
        self.spec = model.spec
        self.fingerprint = f"{task.name} {task.fingerprint} odds 1 {model.fingerprint}"
        pairs = [tuple(map(model.encoder.single, pair)) for pair in SPELLINGS]
        whole = [pair for pair in pairs if None not in pair]
        if not whole:
            raise ModelError(
                f"{model.spec}: expected yes and no to be single tokens; its probability of yes "
                "cannot be read from one position"
            )
        self._words = torch.tensor(whole).T
        """[2, spellings]: ids of yes, ids of no."""

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """By length; pairs that do not fit the model go last, together."""
        return self._model.plan([self._encoded(pair) for pair, _ in payloads])

    @torch.inference_mode()
    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """{"vote", "probability"}; a query too long for the model is refused.

        Raises:
            ModelError: the weights are damaged.
        """
        found = [self._encoded(pair) for pair, _ in payloads]
        prompts = [one for one in found if isinstance(one, EncodedPrompt)]
        odds = iter(self._odds(prompts))
        return [
            Reply({}, refusal=one) if isinstance(one, str) else _judged(next(odds), len(one))
            for one in found
        ]

    def _odds(self, prompts: Sequence[EncodedPrompt]) -> list[float]:
        if not prompts:
            return []
        logits, _ = self._model.extend(prompts, keep=False)
        yes, no = logits[:, self._words.to(logits.device)].logsumexp(-1).unbind(-1)
        odds: list[float] = (yes - no).double().sigmoid().tolist()
        return odds

    def _encoded(self, pair: tuple[str, str]) -> EncodedPrompt | str:
        """The prompt with as much of the document as the model has room for, or why there is
        none."""
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
                share = (room - bare) / (len(encoded) - bare)  # fences may make a text longer
                tokens = min(tokens - 1, int(tokens * share))
        except RowError as error:
            return error.reason
        return f"{self.spec} takes {room} tokens; the query leaves none for the document"

    def _prompt(self, query: str, document: str) -> tuple[EncodedPrompt, int]:
        """Ids of a prompt, and how many there may be."""
        prompt = self._task.prompt((query, document), 0)
        return self._model.encoder.encode(prompt.system, prompt.user), self._model.room(prompt)


def _judged(probability: float, tokens: int) -> Reply:
    vote = "yes" if probability > 0.5 else "no"
    value = {"vote": vote, "probability": round(probability, DECIMALS)}
    return Reply(value, usage=Usage(tokens, 1))
