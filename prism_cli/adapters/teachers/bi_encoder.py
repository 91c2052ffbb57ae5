"""A bi-encoder as teacher: the cosine of query and document, with negative values as 0."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prism_cli.adapters.teachers.batch_plan import plan_pairs
from prism_cli.adapters.teachers.jina_v3 import JinaV3
from prism_cli.adapters.teachers.st_files import is_jina_v3, st_fingerprint
from prism_cli.errors import ModelError
from prism_cli.ports import Reply

DECIMALS = 6
"""Decimals of a score; float32 has no more."""

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(eq=False)
class TextEncoder:
    """Encodes texts to float32 vectors; the weights are loaded on first use.

    Attributes:
        path: a sentence-transformers directory.
        device: "auto" (CUDA if available) or a torch device.
        dtype: dtype of the weights: "auto" (float32 on CPU, bfloat16 on CUDA) or its name.
        trusted: allow code in the model's directory to run.
    """

    spec: str
    path: Path
    device: str = "auto"
    dtype: str = "float32"
    trusted: bool = False
    _model: Any = field(default=None, repr=False)
    _truncator: Any = field(default=None, repr=False)

    @property
    def similarity(self) -> str:
        """Similarity function of the model: cosine, dot, euclidean or manhattan."""
        return str(self._loaded().similarity_fn_name)

    def queries(self, texts: Sequence[str], *, unit: bool = True) -> Vectors:
        """Encode queries in one batch, with the model's own prompt for queries.

        Args:
            unit: normalize rows to length 1.

        Returns:
            float32 [texts, width].
        """
        return self._vectors(self._loaded().encode_query, texts, unit)

    def documents(self, texts: Sequence[str], *, unit: bool = True) -> Vectors:
        """Encode documents as `queries` does, with the prompt for documents."""
        return self._vectors(self._loaded().encode_document, texts, unit)

    def unload(self) -> None:
        """Release the weights; they are loaded again on the next use."""
        self._model = None

    def _vectors(self, encode: Any, texts: Sequence[str], unit: bool) -> Vectors:
        encoded = encode(
            self._truncator.of(texts),
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        vectors: Vectors = np.asarray(encoded, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.spec}: returned a vector that is not finite; its weights are damaged"
            )
        if unit:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _loaded(self) -> Any:
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            self._model = load_quietly(
                SentenceTransformer, self.spec, self.path, self.device, self.dtype, self.trusted
            )
            self._truncator = truncator_of(self._model)
        return self._model


def load_quietly(
    cls: Any, spec: str, path: Path, device: str, dtype: str = "float32", trusted: bool = False
) -> Any:
    """Load a sentence-transformers model of class `cls` for inference; see TextEncoder.

    Raises:
        ModelError: the files are not such a model, or there is no such device.
    """
    from safetensors import SafetensorError

    from prism_cli.modeling.loading import resolve_device, resolve_dtype
    from prism_cli.modeling.silence_warnings import silence_transformers

    target = resolve_device(device)
    weights_dtype = resolve_dtype(dtype, target)
    try:
        with silence_transformers():
            if is_jina_v3(path):
                model: Any = JinaV3(spec, path, target, weights_dtype)
            else:
                model = cls(
                    str(path),
                    device=str(target),
                    local_files_only=True,
                    trust_remote_code=trusted,
                    model_kwargs={"dtype": weights_dtype},
                )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError,
            ImportError, SafetensorError) as error:  # fmt: skip
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{spec}: {path} cannot be loaded: {first}") from error
    model.train(False)
    return model


def truncator_of(model: Any) -> Any:
    """Return the `TextTruncator` that cut texts to the part that the model reads."""
    from prism_cli.modeling.first_tokens import TextTruncator

    if isinstance(model, JinaV3):
        return TextTruncator(None, None)  # JinaV3 truncates by itself
    return TextTruncator(model.tokenizer, model.max_seq_length)


class BiEncoderTeacher:
    """Scores pairs by cosine; equal texts of a batch are embedded once."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self.spec = encoder.spec
        self.scale = "cosine, negative as 0"
        self.fingerprint = f"teacher cosine 1 {st_fingerprint(encoder.path)}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """Return batches by length of the document."""
        return plan_pairs(payloads)

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """Return {"score"} for each (query, document).

        Raises:
            ModelError: the model cannot be loaded, or returns vectors that are not finite.
        """
        queries = {text: row for row, text in enumerate(dict.fromkeys(q for q, _ in payloads))}
        documents = {text: row for row, text in enumerate(dict.fromkeys(d for _, d in payloads))}
        query_vectors = self._encoder.queries(list(queries))
        vectors = self._encoder.documents(list(documents))
        return [
            Reply({"score": _score(query_vectors[queries[query]], vectors[documents[document]])})
            for query, document in payloads
        ]


def _score(query: np.ndarray[Any, Any], document: np.ndarray[Any, Any]) -> float:
    return round(min(1.0, max(0.0, float(query @ document))), DECIMALS)
