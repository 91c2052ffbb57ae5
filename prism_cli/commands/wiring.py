"""Specs to adapters: the one module that knows them all, each imported where it is asked for."""

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.adapters.runtimes.canary import Scorer
    from prism_cli.domain.length_caps import TokenCutter
    from prism_cli.ports import BatchBackend, FirstStage
    from prism_cli.stages.relabel import Judge
    from prism_cli.stages.rerank_prompts import Prompter


def first_stage(spec: str, data: "BeirSet") -> "FirstStage":
    """What proposes candidates for `data`: `bm25`, or the TREC run file that `spec` names.

    Raises:
        MissingDataError: no such file.
    """
    if spec == "bm25":
        from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage

        return Bm25FirstStage(data.texts)
    from pathlib import Path

    from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage

    return TrecRunFirstStage(Path(spec.replace("{dataset}", data.name)))


def reranker(spec: str, **settings: Any) -> "BatchBackend":
    """The model of `spec`, loaded; `settings` as `load_reranker` takes them.

    Raises:
        ModelError: it cannot be loaded, or is not fit to rerank.
    """
    from prism_cli.adapters.runtimes.transformers_runtime import load_reranker

    return load_reranker(spec, **settings)


def reranker_identity(
    spec: str, *, device: str, dtype: str, profile: str | None, max_tokens: int
) -> str:
    """All that decides the scores of `spec`, told without loading its weights.

    Raises:
        ModelError: no such model, or its tokenizer is not fit.
    """
    from prism_cli.modeling.loading import (
        load_encoder,
        model_fingerprint,
        resolve_device,
        resolve_dtype,
    )

    place = resolve_device(device)
    encoder = load_encoder(spec, max_tokens, profile=profile)
    return (
        f"{model_fingerprint(spec)} {encoder.profile.hash} {resolve_dtype(dtype, place)} "
        f"{place.type} {max_tokens}"
    )


def canary(backend: "BatchBackend") -> dict[str, float | bool]:
    """Scores of a known relevant and a known irrelevant pair, and whether they are in order."""
    from prism_cli.adapters.runtimes.canary import canary_scores

    return canary_scores(cast("Scorer", backend))


def prompter(spec: str, max_tokens: int, profile: str | None) -> "Prompter":
    """Prompts of the model `spec` as text and ids; no weights are read or fetched.

    Raises:
        ModelError: no such model, or its tokenizer is not fit.
        UsageError: no such profile.
    """
    from prism_cli.modeling.loading import load_encoder

    return load_encoder(spec, max_tokens, profile=profile)


def token_cutter(spec: str) -> "tuple[TokenCutter, list[Path]]":
    """What counts tokens, `estimate` or a model's tokenizer, and the files that decide it.

    Raises:
        ModelError: no such model, or no fast tokenizer.
    """
    if spec == "estimate":
        from prism_cli.domain.length_caps import EstimateCutter

        return EstimateCutter(), []
    from prism_cli.modeling.token_cut import TokenizerCutter

    cutter = TokenizerCutter(spec)
    return cutter, [cutter.file] if cutter.file else []


def teacher(spec: str, *, device: str = "auto") -> "BatchBackend":
    """Who scores pairs: `st:minilm`, `st:PATH` or `st:HUB_ID`.

    Raises:
        UsageError: `spec` names no teacher.
        PrerequisiteError: no such model, or one that this version cannot ask.
    """
    from prism_cli.adapters.teachers.load import load_teacher

    return load_teacher(spec, device)


def generator(spec: str, *, max_sentences: int, device: str = "auto") -> "BatchBackend":
    """Who writes contribution and evidence: `extractive`.

    Raises:
        UsageError: `spec` names no generator.
        PrerequisiteError: one that this version cannot ask.
    """
    from prism_cli.adapters.generators.load import load_generator

    return load_generator(spec, max_sentences, device)


def judges(specs: "Sequence[str]") -> "list[Judge]":
    """The panel of `specs`, in their order; all that is missing is told at once.

    Raises:
        UsageError: a spec that names no judge.
        PrerequisiteError: keys are missing, or a judge cannot be called by this version.
    """
    from prism_cli.adapters.judges.providers import provider_of, refuse_paid_judges

    free = {spec: judge(spec) for spec in specs if provider_of(spec) is None}
    refuse_paid_judges([spec for spec in specs if spec not in free])
    return [free[spec] for spec in specs]


def judge(spec: str) -> "Judge":
    """One judge: `source`, or `source:K` for yes from grade K.

    Raises:
        UsageError: `spec` names no judge.
        PrerequisiteError: its key is missing, or it cannot be called by this version.
    """
    from prism_cli.adapters.judges.providers import KEY_VARIABLES, provider_of, refuse_paid_judges
    from prism_cli.adapters.judges.source_label import SourceLabelJudge
    from prism_cli.errors import UsageError

    if provider_of(spec):
        refuse_paid_judges([spec])
    name, colon, grade = spec.partition(":")
    if name == "source" and (not colon or _is_grade(grade)):
        return SourceLabelJudge(spec, float(grade) if colon else 1.0)
    raise UsageError(
        f"{spec}: no such judge; expected source, source:GRADE (a number above 0), or "
        f"PROVIDER/MODEL with a provider of {', '.join(KEY_VARIABLES)}"
    )


def _is_grade(text: str) -> bool:
    digits, _, decimals = text.partition(".")
    return f"{digits}{decimals}".isascii() and f"{digits}{decimals}".isdigit() and float(text) > 0
