"""A bi-encoder as teacher: the cosine of query and document, negative ones as 0."""

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
"""Of a score; float32 carries no more."""

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(eq=False)
class TextEncoder:
    """Texts to vectors, float32; the weights are loaded when the first text comes.

    Attributes:
        path: a sentence-transformers directory.
        device: "auto" (CUDA where there is one) or a torch device.
        dtype: of the weights: "auto" (float32 on CPU, bfloat16 on CUDA) or its name.
        trusted: whether code beside the weights may run.
    """

    spec: str
    path: Path
    device: str = "auto"
    dtype: str = "float32"
    trusted: bool = False
    _model: Any = field(default=None, repr=False)
    _read: Any = field(default=None, repr=False)

    @property
    def similarity(self) -> str:
        """What the model compares by: cosine, dot, euclidean or manhattan."""
        return str(self._loaded().similarity_fn_name)

    def queries(self, texts: Sequence[str], *, unit: bool = True) -> Vectors:
        """float32 [texts, width], with the model's own prompt for queries, in one batch.

        Args:
            unit: whether rows get the length 1.
        """
        return self._vectors(self._loaded().encode_query, texts, unit)

    def documents(self, texts: Sequence[str], *, unit: bool = True) -> Vectors:
        """As `queries`, with the prompt for documents."""
        return self._vectors(self._loaded().encode_document, texts, unit)

    def unload(self) -> None:
        """Let go of the weights; they are loaded again when asked for."""
        self._model = None

    def _vectors(self, encode: Any, texts: Sequence[str], unit: bool) -> Vectors:
        vectors = encode(
            self._read.of(texts),
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        found: Vectors = np.asarray(vectors, dtype=np.float32)
        if not np.isfinite(found).all():
            raise ModelError(
                f"{self.spec}: gave a vector that is not finite; its weights are unfit"
            )
        if unit:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found

    def _loaded(self) -> Any:
        if self._model is None:
            from sentence_transformers import SentenceTransformer

            self._model = load_quietly(
                SentenceTransformer, self.spec, self.path, self.device, self.dtype, self.trusted
            )
            self._read = beginnings_of(self._model)
        return self._model


def load_quietly(
    cls: Any, spec: str, path: Path, device: str, dtype: str = "float32", trusted: bool = False
) -> Any:
    """A sentence-transformers model of class `cls`, ready to be asked; see TextEncoder.

    Raises:
        ModelError: its files do not make one, or there is no such device.
    """
    from safetensors import SafetensorError

    from prism_cli.modeling.loading import resolve_device, resolve_dtype
    from prism_cli.modeling.silence_warnings import silence_transformers

    place = resolve_device(device)
    kind = resolve_dtype(dtype, place)
    try:
        with silence_transformers():
            if is_jina_v3(path):
                model: Any = JinaV3(spec, path, place, kind)
            else:
                model = cls(
                    str(path),
                    device=str(place),
                    local_files_only=True,
                    trust_remote_code=trusted,
                    model_kwargs={"dtype": kind},
                )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError,
            ImportError, SafetensorError) as error:  # fmt: skip
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{spec}: {path} cannot be loaded: {first}") from error
    model.train(False)
    return model


def beginnings_of(model: Any) -> Any:
    """What of a text a sentence-transformers model reads."""
    from prism_cli.modeling.leading import TextTruncator

    if isinstance(model, JinaV3):
        return TextTruncator(None, None)  # it cuts by itself
    return TextTruncator(model.tokenizer, model.max_seq_length)


class BiEncoderTeacher:
    """Scores by cosine. Equal texts of a batch are embedded once."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self.spec = encoder.spec
        self.scale = "cosine, negative as 0"
        self.fingerprint = f"teacher cosine 1 {st_fingerprint(encoder.path)}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        """By length of the document."""
        return plan_pairs(payloads)

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        """{"score"} for each (query, document).

        Raises:
            ModelError: the model cannot be loaded, or gives no finite vectors.
        """
        queries = {text: row for row, text in enumerate(dict.fromkeys(q for q, _ in payloads))}
        documents = {text: row for row, text in enumerate(dict.fromkeys(d for _, d in payloads))}
        asked = self._encoder.queries(list(queries))
        given = self._encoder.documents(list(documents))
        return [
            Reply({"score": _score(asked[queries[query]], given[documents[document]])})
            for query, document in payloads
        ]


def _score(query: np.ndarray[Any, Any], document: np.ndarray[Any, Any]) -> float:
    return round(min(1.0, max(0.0, float(query @ document))), DECIMALS)
