"""A cross-encoder as teacher: the sigmoid of its single logit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prism_cli.adapters.teachers.batch_plan import plan_pairs
from prism_cli.adapters.teachers.bi_encoder import DECIMALS, load_quietly, truncator_of
from prism_cli.adapters.teachers.st_files import st_fingerprint
from prism_cli.errors import ModelError
from prism_cli.ports import Reply

MAX_PAIRS = 32


class CrossEncoderTeacher:
    """Scores query and document together; the weights are loaded on first use."""

    def __init__(self, spec: str, path: Path, device: str = "auto") -> None:
        self.spec = spec
        self.scale = "sigmoid of the logit"
        self.fingerprint = f"teacher sigmoid 1 {st_fingerprint(path)}"
        self._path = path
        self._device = device
        self._model: Any = None
        self._truncator: Any = None

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return batches by length of the document."""
        return plan_pairs(payloads, max_pairs=MAX_PAIRS)

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"score"} for each (query, document).

        Raises:
            ModelError: the model cannot be loaded, has more than one output, or returns a score
                that is not finite.
        """
        import torch

        model = self._loaded()
        scores = np.asarray(
            model.predict(
                self._cut(payloads),
                batch_size=len(payloads),
                show_progress_bar=False,
                activation_fn=torch.nn.Sigmoid(),
                convert_to_numpy=True,
            ),
            dtype=np.float64,
        )
        if not np.isfinite(scores).all():
            raise ModelError(
                f"{self.spec}: returned a score that is not finite; its weights are damaged"
            )
        return [Reply({"score": round(float(score), DECIMALS)}) for score in scores]

    def _cut(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the pairs, with documents cut to the part that the model can read."""
        return [
            (query, *self._truncator.of([document], least=len(query.encode())))
            for query, document in pairs
        ]

    def _loaded(self) -> Any:
        if self._model is None:
            from sentence_transformers import CrossEncoder

            model = load_quietly(CrossEncoder, self.spec, self._path, self._device)
            if model.num_labels != 1:
                raise ModelError(
                    f"{self.spec}: expected a cross-encoder with one output, found "
                    f"{model.num_labels}; a classifier of several classes is no teacher"
                )
            self._model, self._truncator = model, truncator_of(model)
        return self._model
