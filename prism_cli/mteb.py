"""A prism model in mteb: `mteb.evaluate(PrismReranker("runs/tiny"), tasks)` on reranking tasks.

mteb's cross-encoder protocol over `Reranker`: the prompt up to the document is
computed once per query, and scores are the logits that `prism eval` ranks by.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

NO_REVISION = (None, "no_revision_available")
"""Values that mteb passes for no revision."""

Batches = Iterable[Mapping[str, Sequence[str]]]
"""mteb's loader: `text` of each batch is read, which includes title and instruction; `title` and
`body`, where it has them, say where the title ends."""


class PrismReranker:
    """mteb's CrossEncoderProtocol.

    Args:
        model_name: a model spec as for `prism rerank --model`.
        revision: commit, for a model of the hub.
        device: auto, cpu, cuda, cuda:1, …; None is auto.
        settings: as `Reranker` takes them: dtype, profile, max_tokens, batch_tokens, ….

    Raises:
        ModelError: it cannot be loaded, or is not fit to rerank.
    """

    def __init__(
        self,
        model_name: str,
        revision: str | None = None,
        device: str | None = None,
        **settings: Any,
    ) -> None:
        from prism_cli.reranker import Reranker

        spec = model_name if revision in NO_REVISION else f"{model_name}@{revision}"
        self._reranker = Reranker(spec, device=device or "auto", **settings)

    @property
    def mteb_model_meta(self) -> Any:
        """mteb's ModelMeta. Its revision is the hub's commit, else a digest of the weights.

        Raises:
            MissingPackageError: mteb is not installed.
        """
        from prism_cli.errors import MissingPackageError

        try:
            from mteb.models.model_meta import ModelMeta
        except ImportError:
            raise MissingPackageError("mteb", "mteb") from None

        runtime: Any = self._reranker.runtime
        runtime = getattr(runtime, "inner", runtime)
        loaded = runtime.loaded
        name = runtime.spec.removeprefix("hf:").partition("@")[0]
        return ModelMeta.create_empty(
            overwrites={
                "loader": PrismReranker,
                "name": name if loaded.revision else f"prism/{loaded.path.name}",
                "revision": loaded.revision or loaded.fingerprint[:40],
                "n_parameters": loaded.model.num_parameters(),
                "max_tokens": runtime.encoder.max_tokens,
                "framework": ["PyTorch", "Transformers"],
                "use_instructions": True,
                "model_type": ["cross-encoder"],
            }
        )

    def predict(
        self,
        inputs1: Batches,
        inputs2: Batches,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Return the logit of each pair, float64 [pairs]; higher is more relevant.

        A pair that cannot be scored (a blank document, a query over the model's limit) ranks below
        all others.

        Args:
            inputs1, inputs2: queries and documents, as many texts each.
            kwargs: mteb's; `show_progress_bar` is used.
        """
        import numpy as np

        from prism_cli.engine.progress_display import show_progress

        documents = [document for batch in inputs2 for document in _documents(batch)]
        pairs = list(zip(_texts(inputs1), (text for text, _ in documents), strict=True))
        logits = np.full(len(pairs), np.nan)
        label = f"{hf_subset} {hf_split}: {self._reranker.spec}"
        quiet = not kwargs.get("show_progress_bar", True)
        with show_progress(label, len(pairs), quiet=quiet) as progress:
            for batch in self._reranker.replies(pairs, [body for _, body in documents]):
                for index, reply in batch:
                    if reply.refusal is None and reply.value["logit"] is not None:
                        logits[index] = reply.value["logit"]
                progress.advance(len(batch), 0.0)
        unscored = np.isnan(logits)
        logits[unscored] = 0.0 if unscored.all() else np.nanmin(logits) - 1
        return logits


def _texts(batches: Batches) -> Iterator[str]:
    for batch in batches:
        yield from batch["text"]


def _documents(batch: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, int]]:
    """Yield the texts of a batch, each with the length of its title and the space after it."""
    for text, title, body in zip(
        batch["text"],
        batch.get("title") or repeat(""),
        batch.get("body") or repeat(""),
        strict=False,
    ):
        own = body.rstrip()
        yield text, len(text) - len(own) if title and own and text.endswith(own) else 0
