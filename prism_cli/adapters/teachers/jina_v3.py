"""jina-embeddings-v3 by transformers' own class: no code of its repository runs.

The base and one LoRA adapter a task lie as NATIVE holds them: a folder a task. Queries and
documents have their own adapter and prompt each; vectors are means over tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prism_cli.errors import ModelError

MODEL_TYPE = "jina_embeddings_v3"
PAPERS, NATIVE = "jinaai/jina-embeddings-v3", "jinaai/jina-embeddings-v3-hf"
"""Where its makers published it, with code, and where the same weights lie without."""
QUERY, DOCUMENT = "retrieval_query", "retrieval_passage"
PROMPTS = {  # as the model was trained; its card and mteb have them too
    QUERY: "Represent the query for retrieving evidence documents: ",
    DOCUMENT: "Represent the document for retrieval: ",
}
MAX_TOKENS = 8192


class JinaV3:
    """What sentence-transformers' models are asked, with the adapter changed for each side.

    Args:
        path: config.json, weights, tokenizer, and a folder for each adapter.
        kind: of the weights, a torch dtype.

    Raises:
        ModelError: an adapter is missing.
    """

    similarity_fn_name = "cosine"

    def __init__(self, spec: str, path: Path, device: str, kind: Any) -> None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Normalize, Pooling, Transformer

        for task in PROMPTS:
            if not (path / task / "adapter_config.json").is_file():
                raise ModelError(
                    f"{spec}: no {task}/adapter_config.json in {path}; without its adapters for "
                    f"retrieval it is another model. {NATIVE} has them"
                )
        transformer: Any = Transformer(
            str(path),
            model_kwargs={"dtype": kind, "use_safetensors": True},
            config_kwargs={"trust_remote_code": False},
        )
        self._weights = transformer.auto_model
        longest = min(MAX_TOKENS, self._weights.config.max_position_embeddings)
        transformer.max_seq_length = longest
        width = self._weights.config.hidden_size
        self._model: Any = SentenceTransformer(
            modules=[transformer, Pooling(width, pooling_mode="mean"), Normalize()], device=device
        )
        for task in PROMPTS:
            self._weights.load_adapter(str(path / task), adapter_name=task)

    def encode_query(self, texts: Sequence[str], **settings: Any) -> Any:
        """Vectors [texts, width] of queries."""
        return self._encode(QUERY, texts, settings)

    def encode_document(self, texts: Sequence[str], **settings: Any) -> Any:
        """Vectors [texts, width] of documents."""
        return self._encode(DOCUMENT, texts, settings)

    def train(self, mode: bool) -> None:
        """As torch has it."""
        self._model.train(mode)

    def _encode(self, task: str, texts: Sequence[str], settings: dict[str, Any]) -> Any:
        self._weights.set_adapter(task)
        self._model.train(False)  # a new adapter comes in training mode
        return self._model.encode(texts, prompt=PROMPTS[task], **settings)
