"""Specs to adapters: the one module that knows them all, each imported where it is asked for."""

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.adapters.providers.catalog import Catalog, Named
    from prism_cli.adapters.runtimes.canary import Scorer
    from prism_cli.adapters.shapes.base import Reader, ShapeSettings, Writer
    from prism_cli.commands.options import Paid
    from prism_cli.domain.chat import ChatTask
    from prism_cli.domain.length_caps import TokenCutter
    from prism_cli.domain.rubric import JudgeTask
    from prism_cli.ports import BatchBackend, CallBackend, FirstStage
    from prism_cli.shards.paid_rows import PaidRows
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


def shape_reader(name: str | None, **settings: Any) -> "Reader":
    """Reads rows of the shape `name`; None for those that their fields tell apart.

    Args:
        settings: as `ShapeSettings` has them, paths as text.

    Raises:
        UsageError: no such shape, or it needs settings that are not there.
        MissingDataError: a file behind it is missing.
    """
    from prism_cli.adapters.shapes.table import RecognisingReader, find_shape

    if name is None:
        return RecognisingReader(_shape_settings(settings))
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


def teachers(
    specs: "Sequence[str]", providers: "Catalog", *, device: str = "auto"
) -> "list[BatchBackend | CallBackend]":
    """Who scores pairs, in their order; all keys that are missing are told at once.

    Raises:
        UsageError: a spec that names no teacher.
        PrerequisiteError: keys or models are missing.
    """
    from prism_cli.adapters.providers.keys import check_keys

    paid = [(one.spec, one.channel) for spec in specs if (one := providers.named(spec))]
    check_keys(paid, "`--teacher st:minilm`, st:PATH and st:HUB_ID need no key")
    return [_teacher(spec, providers, device) for spec in specs]


def _teacher(spec: str, providers: "Catalog", device: str) -> "BatchBackend | CallBackend":
    named = providers.named(spec)
    if named is None:
        from prism_cli.adapters.teachers.load import load_teacher

        return load_teacher(spec, device)
    from prism_cli.adapters.teachers.rerank_api import RerankTeacher
    from prism_cli.adapters.teachers.rerank_dialects import DIALECTS
    from prism_cli.errors import UsageError

    if named.api not in DIALECTS:
        raise UsageError(
            f"{spec}: speaks {named.api}, and cannot score; teachers speak {', '.join(DIALECTS)}"
        )
    return RerankTeacher(named)


def generator(spec: str, *, max_sentences: int, device: str = "auto") -> "BatchBackend":
    """Who writes contribution and evidence: `extractive`.

    Raises:
        UsageError: `spec` names no generator.
        PrerequisiteError: one that this version cannot ask.
    """
    from prism_cli.adapters.generators.load import load_generator

    return load_generator(spec, max_sentences, device)


def catalog(common: "Paid", *, hurried: bool = False) -> "Catalog":
    """The providers that this command line knows; `hurried` sends each question once.

    Raises:
        ConfigError, MissingDataError: a provider file is wrong, or not there.
    """
    from prism_cli.adapters.providers.catalog import Catalog
    from prism_cli.configs.providers import load_providers

    return Catalog(
        load_providers(common.provider_file),
        common.concurrency,
        priced=common.max_cost is not None,
        keyless=common.dry_run,
        hurried=hurried,
    )


def paid_rows(common: "Paid") -> "PaidRows | None":
    """What the rows of --reuse hold; None without it.

    Raises:
        MissingDataError: no such file.
    """
    if not common.reuse:
        return None
    from prism_cli.rows.row import check_pair
    from prism_cli.shards.paid_rows import PaidRows
    from prism_cli.shards.reader import read_rows

    read = read_rows(common.reuse, fields=common.field_names, check=check_pair)
    return PaidRows((place.file, row) for place, row in read)


def judge_task(rubric: str | None) -> "JudgeTask":
    """What chat models are asked; with another rubric than ours where one is given."""
    from prism_cli.domain.rubric import RUBRIC, JudgeTask

    return JudgeTask(RUBRIC if rubric is None else rubric)


def judges(
    specs: "Sequence[str]", task: "JudgeTask", providers: "Catalog", pack: int | None = 1
) -> "list[Judge]":
    """The panel of `specs`, in their order; all keys that are missing are told at once.

    Args:
        task: of chat models; decision endpoints take its rubric.
        pack: documents that share a call to a decision endpoint; None: as many as it takes.

    Raises:
        UsageError: a spec that names no judge.
        PrerequisiteError: keys or models are missing.
    """
    from prism_cli.adapters.providers.keys import check_keys

    paid = [(one.spec, one.channel) for spec in specs if (one := providers.named(spec))]
    check_keys(paid, "`--judge source` takes the rows' own labels and needs no key")
    return [_judge(spec, task, providers, pack) for spec in specs]


def examine_judges(specs: "Sequence[str]", providers: "Catalog") -> "list[dict[str, Any]]":
    """What each judge of a provider says to a pair that is plainly relevant.

    Raises:
        UsageError: a spec that names no judge.
    """
    from prism_cli.adapters.judges.examination import examine
    from prism_cli.ports import CallBackend

    patients: list[tuple[str, CallBackend | str]] = []
    for spec in specs:
        named = providers.named(spec)
        judge = _judge(spec, judge_task(None), providers)
        if named and named.channel.provider.key_env and not named.channel.key:
            patients.append((spec, f"{named.channel.provider.key_env} is not in the environment"))
        elif isinstance(judge, CallBackend):
            patients.append((spec, judge))
    return examine(patients)


def chat_model(
    spec: str, task: "ChatTask", providers: "Catalog", *, device: str = "auto"
) -> "BatchBackend | CallBackend":
    """Who does a chat task: `provider/model`, or a model in this process, `hf:…`.

    Raises:
        UsageError: `spec` names no chat model.
        PrerequisiteError: its key is missing.
        ModelError: no such model in this process, or none that chats.
    """
    from prism_cli.adapters.chat.load import load_chat

    return load_chat(spec, task, providers, device)


def _judge(spec: str, task: "JudgeTask", providers: "Catalog", pack: int | None = 1) -> "Judge":
    from prism_cli.adapters.chat.load import chat_backend
    from prism_cli.adapters.judges.source_label import SourceLabelJudge
    from prism_cli.errors import UsageError

    named = providers.named(spec)
    if named is not None:
        if named.api == "openai":
            return chat_backend(named, task)
        if named.api in ("openai-decisions", "systemone"):
            return _decision(named, task.rubric, pack)
        raise UsageError(f"{spec}: speaks {named.api}, and cannot judge")
    name, colon, grade = spec.partition(":")
    if name == "source" and (not colon or _is_grade(grade)):
        return SourceLabelJudge(spec, float(grade) if colon else 1.0)
    if name in ("hf", "st") and colon:
        from prism_cli.adapters.judges.local import load_local_judge

        return load_local_judge(spec, task)
    raise UsageError(
        f"{spec}: no such judge; expected source, source:GRADE (a number above 0), hf:PATH, "
        "st:PATH, st:PATH:THRESHOLD, or PROVIDER/MODEL with a provider of "
        f"{', '.join(providers.names)}"
    )


def _decision(named: "Named", rubric: str, pack: int | None) -> "CallBackend":
    from prism_cli.adapters.judges.decision_backend import DecisionBackend
    from prism_cli.adapters.judges.decisions import OpenAIDecisions
    from prism_cli.adapters.judges.systemone import SystemOne

    endpoint = SystemOne(named) if named.api == "systemone" else OpenAIDecisions(named)
    return DecisionBackend(named, rubric, endpoint, pack)


def _is_grade(text: str) -> bool:
    digits, _, decimals = text.partition(".")
    return f"{digits}{decimals}".isascii() and f"{digits}{decimals}".isdigit() and float(text) > 0
