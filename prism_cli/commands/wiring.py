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


def searcher(spec: str, results: int, providers: "Catalog") -> "CallBackend":
    """What finds pages: `exa`, `tavily`, or PROVIDER/MODEL of a provider that speaks as they do.

    Raises:
        UsageError: a spec that names no search, or more results than it gives.
        PrerequisiteError: its key is missing.
    """
    from prism_cli.adapters.providers.keys import check_keys
    from prism_cli.adapters.searchers.backend import SearchBackend
    from prism_cli.adapters.searchers.dialects import DIALECTS
    from prism_cli.errors import UsageError

    named = providers.named(spec if "/" in spec else f"{spec}/search")
    if named is None or named.api not in DIALECTS:
        raise UsageError(
            f"--web {spec}: no such search; expected {', '.join(DIALECTS)}, or PROVIDER/search of "
            "a provider whose api is one of these"
        )
    check_keys([(named.spec, named.channel)], "rows that have documents need no search and no key")
    return SearchBackend(named, results)


def judge_task(rubric: str | None) -> "JudgeTask":
    """What chat models are asked; with another rubric than ours where one is given."""
    from prism_cli.domain.rubric import RUBRIC, JudgeTask

    return JudgeTask(RUBRIC if rubric is None else rubric)


def judges(specs: "Sequence[str]", task: "JudgeTask", providers: "Catalog") -> "list[Judge]":
    """The panel of `specs`, in their order; all keys that are missing are told at once.

    Args:
        task: of chat models.

    Raises:
        UsageError: a spec that names no judge.
        PrerequisiteError: keys or models are missing.
    """
    from prism_cli.adapters.providers.keys import check_keys

    paid = [(one.spec, one.channel) for spec in specs if (one := providers.named(spec))]
    check_keys(paid, "`--judge source` takes the rows' own labels and needs no key")
    return [_judge(spec, task, providers) for spec in specs]


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


def _judge(spec: str, task: "JudgeTask", providers: "Catalog") -> "Judge":
    from prism_cli.adapters.judges.source_label import SourceLabelJudge
    from prism_cli.errors import UsageError

    named = providers.named(spec)
    if named is not None:
        if named.api == "openai":
            return _chat(named, task)
        raise UsageError(f"{spec}: speaks {named.api}, and cannot judge")
    name, colon, grade = spec.partition(":")
    if name == "source" and (not colon or _is_grade(grade)):
        return SourceLabelJudge(spec, float(grade) if colon else 1.0)
    raise UsageError(
        f"{spec}: no such judge; expected source, source:GRADE (a number above 0), or "
        f"PROVIDER/MODEL with a provider of {', '.join(providers.names)}"
    )


def _chat(named: "Named", task: "ChatTask") -> "CallBackend":
    from prism_cli.adapters.chat.backend import ChatBackend
    from prism_cli.adapters.chat.model import ChatModel

    return ChatBackend(ChatModel(named.spec, named.channel, named.model, named.card), task)


def _is_grade(text: str) -> bool:
    digits, _, decimals = text.partition(".")
    return f"{digits}{decimals}".isascii() and f"{digits}{decimals}".isdigit() and float(text) > 0
