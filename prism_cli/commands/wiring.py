"""Construction of what runs in this process, from specs and settings: rerankers, first stages, data
sets, shapes, the extractive generator, token counters. Models that may be behind an API (judges,
teachers, chat models, searches) are in `paid_wiring`, rows of --reuse in `reuse_wiring`. Adapters
are imported when a function needs them, so that `prism --help` stays fast."""

import sys
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.adapters.first_stages.embedded_corpus import Documents
    from prism_cli.adapters.generators.extractive import ExtractiveGenerator
    from prism_cli.adapters.runtimes.vllm_engine import VllmEngine
    from prism_cli.adapters.shapes.base import Reader, ShapeSettings, Writer
    from prism_cli.configs.eval import EvalConfig
    from prism_cli.configs.rerank import RerankConfig
    from prism_cli.domain.length_caps import TokenCutter
    from prism_cli.evaluation.ranking.plan import EvalSet
    from prism_cli.ports import BatchBackend, FirstStage, RerankRuntime
    from prism_cli.reranker import Reranker
    from prism_cli.stages.rerank_prompts import Prompter, Splitter


def first_stage(
    spec: str,
    documents: "Documents",
    name: str,
    output: "Path | None",
    *,
    device: str = "auto",
    dtype: str = "auto",
    trusted: str | None = None,
    bm25_memory_gb: float | None = None,
) -> "FirstStage":
    """Return the first stage: `bm25`, a sentence-transformers model, `st:…`, which keeps its
    vectors beside the ledger, or the TREC run file that `spec` names.

    Args:
        documents: gives (doc_id, text) of the whole corpus.
        name: of the corpus.
        output: of the command; None for standard output.
        trusted: REPO@COMMIT of the model whose own code may run.
        bm25_memory_gb: for an index, in 10^9 bytes; None: half of the free memory.

    Raises:
        UsageError: `trusted` does not go with `spec`.
        MissingDataError: no such file.
        ModelError: no such model, or none for this.
    """
    check_model("first_stage", spec.replace("{dataset}", name))
    if spec.startswith("st:"):
        from prism_cli.adapters.first_stages.bi_encoder import load_bi_encoder
        from prism_cli.shards.state import ledger_path

        folder = ledger_path(output).with_name("embeddings")
        return load_bi_encoder(spec, documents, folder, device=device, dtype=dtype, trusted=trusted)
    if trusted is not None:
        from prism_cli.errors import UsageError

        raise UsageError(
            f"--trust-remote-code {trusted}: the first stage is {spec}, which runs no code of a "
            "model; it goes with --first-stage st:REPO"
        )
    if spec == "bm25":
        from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
        from prism_cli.commands.free_memory import memory_budget

        given = bm25_memory_gb
        return Bm25FirstStage(documents, memory_budget() if given is None else int(given * 1e9))
    from prism_cli.adapters.first_stages.trec_run import run_of

    return run_of(spec, name)


def eval_first_stage(
    data: "BeirSet", config: "EvalConfig", output: "Path", trusted: str | None
) -> "FirstStage":
    """Return the `first_stage` of an evaluation whose folder is `output`."""
    return first_stage(
        config.first_stage,
        data.texts,
        data.name,
        output / "metrics.json",
        device=config.device,
        dtype=config.dtype,
        trusted=trusted,
        bm25_memory_gb=config.bm25_memory_gb,
    )


def judged_run(run: "Path", qrels: "Path") -> "tuple[EvalSet, Callable[[], int]]":
    """Return a set of a run and qrels, without corpus and queries, and what reads the run's depth.

    Raises:
        MissingDataError: one of the files is not there, or the run has a bad line.
    """
    from prism_cli.adapters.datasets.judged_run import JudgedQueries
    from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage
    from prism_cli.errors import MissingDataError
    from prism_cli.evaluation.ranking.plan import EvalSet

    if not run.is_file():
        problem = "a folder" if run.is_dir() else "no such file"
        raise MissingDataError(f"{run}: expected a TREC run file beside --qrels, found {problem}")
    return EvalSet(JudgedQueries(qrels), first := TrecRunFirstStage(run)), first.depth


def shape_reader(name: str | None, *, keep_pairs: bool = False, **settings: Any) -> "Reader":
    """Return the reader of rows of a shape; None detects the shape by the fields.

    Args:
        keep_pairs: do not detect a shape where a row has a document.
        settings: as `ShapeSettings` has them, paths as text.

    Raises:
        UsageError: no such shape, or it needs settings that are not there.
        MissingDataError: a file behind it is missing.
    """
    from prism_cli.adapters.shapes.table import RecognisingReader, find_shape

    if name is None:
        return RecognisingReader(_shape_settings(settings), keep_pairs=keep_pairs)
    return find_shape("--from", name).reader(_shape_settings(settings))


def shape_writer(name: str, **settings: Any) -> "Writer":
    """Writes rows of the shape `name`; `settings` as for `shape_reader`.

    Raises:
        UsageError: no such shape, or a setting that it cannot use.
    """
    from prism_cli.adapters.shapes.table import find_shape

    return find_shape("--to", name).writer(_shape_settings(settings))


def _shape_settings(settings: dict[str, Any]) -> "ShapeSettings":
    from pathlib import Path

    from prism_cli.adapters.shapes.base import ShapeSettings

    paths = {
        name: Path(settings[name])
        for name in ("corpus", "queries", "qrels")
        if settings.get(name) is not None
    }
    return ShapeSettings(**settings | paths)


def check_model(role: str, spec: str) -> None:
    """Hold the spec of an option that takes bare paths and hub ids against what it takes.

    A provider's model is known by its place in the provider files, as hub ids look alike.

    Raises:
        UsageError: another kind of spec; the message has the expected kind and a valid command.
        ModelError: as `check_name`.
    """
    from pathlib import Path

    from prism_cli.domain.model_specs import fits, spec_error
    from prism_cli.errors import UsageError

    if Path(spec).exists():
        return
    api = None
    if "/" in spec and ":" not in spec:
        from prism_cli.configs.providers import load_providers

        match = load_providers().named(spec)
        api = match[0].api if match and match[1] in match[0].models else None
    if not fits(role, spec, api):
        raise UsageError(spec_error(role, spec, api, sys.argv))
    check_name(role, spec)


def check_name(role: str, spec: str) -> None:
    """Tell a misspelt built-in model at once, before libraries are loaded and the hub is asked.

    Raises:
        ModelError: there is no directory of that name, and a built-in model has nearly this name.
    """
    from pathlib import Path

    from prism_cli.domain.model_specs import near_miss
    from prism_cli.errors import ModelError

    near = near_miss(role, spec)
    if near and not Path(spec.removeprefix("hf:").removeprefix("st:")).exists():
        raise ModelError(f"{spec}: no directory of that name here; did you mean {near}?")


def reranker(
    spec: str,
    config: "RerankConfig",
    *,
    lazy: bool = False,
    on_load: "Callable[[RerankRuntime], None] | None" = None,
) -> "Reranker":
    """Return the model of `spec`, loaded unless lazy.

    Raises:
        ModelError: it cannot be loaded, or is not fit to rerank.
    """
    from prism_cli.reranker import Reranker

    names = signature(Reranker).parameters.keys() - {"model"}
    settings = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return Reranker(spec, **settings, warn=False, lazy=lazy, on_load=on_load)


def vllm_engine(config: "RerankConfig") -> "tuple[VllmEngine, RerankRuntime]":
    """Return the model of `config` on a vLLM that takes tasks as they come, and the runtime that
    reads long documents with it.

    Raises:
        ArgumentError: an option that vLLM decides itself is set.
        ModelError: it cannot be loaded.
    """
    from prism_cli.adapters.runtimes.engines import reading
    from prism_cli.adapters.runtimes.vllm_engine import VllmEngine
    from prism_cli.adapters.runtimes.vllm_runtime import load_vllm_reranker

    reranker(config.model, config, lazy=True)  # checks the options
    names = ("dtype", "profile", "max_tokens", "max_new_tokens")
    settings = {name: getattr(config, name) for name in names}
    engine = load_vllm_reranker(config.model, kind=VllmEngine, **settings)
    assert isinstance(engine, VllmEngine)
    return engine, reading(engine, config.long_documents, config.window_tokens)


def eval_reranker(
    spec: str, config: "EvalConfig"
) -> "tuple[str, Callable[[], Reranker], float | None]":
    """Return all that decides the scores of `spec`, without loading its weights, a function that
    loads it, and the weight of the first stage that it states.

    Windows of what fits add nothing to it: a ranking without long documents stays valid.

    Raises:
        ModelError: no such model, or its tokenizer is not fit; the function: as `reranker`.
    """
    from prism_cli.adapters.runtimes.transformers_runtime import identity, load_reranker
    from prism_cli.modeling.loading import load_encoder, resolve_device, resolve_dtype
    from prism_cli.modeling.model_folder import resolve_model
    from prism_cli.reranker import Reranker

    device = resolve_device(config.device)
    folder = resolve_model(spec)
    encoder = load_encoder(folder, config.max_tokens, profile=config.profile)
    dtype = resolve_dtype(config.dtype, device)
    names = signature(load_reranker).parameters.keys() - {"model"}
    settings = {name: getattr(config, name) for name in names}
    way, tokens = config.long_documents, config.window_tokens
    length = f" windows {tokens}" if tokens else ""
    if not tokens and (stated := folder.defaults.window_tokens):
        length = f" stated windows {stated}"
    scores = identity(folder.fingerprint, encoder, dtype, device, config.attn)

    def load() -> Reranker:
        runtime = load_reranker(folder, **settings)
        return Reranker(runtime, long_documents=way, window_tokens=tokens)

    return scores + (" cut" if way == "cut" else length), load, folder.defaults.fuse


def canary(model: "RerankRuntime") -> tuple[dict[str, float | bool], str | None]:
    """Return the scores of a known relevant and a known irrelevant pair, and a warning if the
    relevant one does not score clearly above the other."""
    from prism_cli.adapters.runtimes.canary import canary_scores, canary_warning

    scores = canary_scores(model)
    return scores, canary_warning(model.spec, scores)


def extractive(max_sentences: int, device: str) -> "ExtractiveGenerator":
    """Return the generator that needs no server.

    Raises:
        MissingPackageError: the embedded encoder is not installed.
    """
    from prism_cli.adapters.generators.extractive import load_extractive

    return load_extractive(max_sentences, device)


def closest_sentences(device: str) -> "BatchBackend":
    """Return the selector of a document's closest sentences; raise as `extractive`."""
    from prism_cli.adapters.generators.extractive import load_closest

    return load_closest(device)


def prompter(config: "RerankConfig") -> "tuple[Prompter, Splitter | None]":
    """Return the prompts of the model as text and ids, and what splits long documents into windows
    (None: they are cut); no weights are read or fetched.

    Raises:
        ModelError: no such model, or its tokenizer is not fit.
        UsageError: no such profile.
    """
    from prism_cli.adapters.runtimes.document_splitter import DocumentSplitter
    from prism_cli.modeling.loading import load_encoder
    from prism_cli.modeling.model_folder import resolve_model

    folder = resolve_model(config.model, weights=False)
    encoder = load_encoder(folder, config.max_tokens, profile=config.profile)
    if config.long_documents == "cut":
        return encoder, None
    return encoder, DocumentSplitter(encoder, config.window_tokens, folder.defaults.window_tokens)


def token_cutter(spec: str) -> "tuple[TokenCutter, list[Path]]":
    """Return the token counter, `estimate` or a model's tokenizer, and the files behind it.

    Raises:
        ModelError: no such model, or no fast tokenizer.
    """
    if spec == "estimate":
        from prism_cli.domain.length_caps import EstimateCutter

        return EstimateCutter(), []
    from prism_cli.modeling.token_cut import TokenizerCutter

    cutter = TokenizerCutter(spec)
    return cutter, [cutter.file] if cutter.file else []
