"""Construction of judges, teachers, raters, generators, chat models and searches from their specs:
of providers, whose calls cost money, and of local models that take their place. Rerankers, first
stages and data sets are in `wiring`."""

import sys
from typing import TYPE_CHECKING, Any

from prism_cli.domain.defaults import KEYLESS_JUDGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prism_cli.adapters.providers.model_ref import ModelRef
    from prism_cli.adapters.providers.registry import ProviderRegistry
    from prism_cli.commands.options import Paid
    from prism_cli.domain.chat import ChatTask
    from prism_cli.domain.rubric import JudgeTask
    from prism_cli.domain.source_labels import SourceLabelJudge, SourceLabelTeacher, SourceTexts
    from prism_cli.errors import UsageError
    from prism_cli.ports import BatchBackend, CallBackend
    from prism_cli.stages.relabel import Judge


def teachers(
    specs: "Sequence[str]", providers: "ProviderRegistry", *, device: str = "auto"
) -> "list[BatchBackend | CallBackend | SourceLabelTeacher]":
    """Return the teachers of `specs`, in order; all missing keys are reported at once.

    Raises:
        UsageError: a spec that names no teacher.
        PrerequisiteError: keys or models are missing.
    """
    from prism_cli.adapters.providers.keys import check_keys

    for spec in specs:
        check_spec("teacher", spec, providers)
    check_keys(
        map(providers.resolve, specs), "`--teacher st:minilm`, st:PATH and st:HUB_ID need no key"
    )
    return [_teacher(spec, providers, device) for spec in specs]


def _teacher(
    spec: str, providers: "ProviderRegistry", device: str
) -> "BatchBackend | CallBackend | SourceLabelTeacher":
    if named := providers.resolve(spec):
        from prism_cli.adapters.teachers.rerank_api import RerankTeacher

        return RerankTeacher(named)
    if label := _source_label("teacher", spec, providers):
        from prism_cli.domain.source_labels import SourceLabelTeacher

        return SourceLabelTeacher(label)
    from prism_cli.adapters.teachers.load import load_teacher

    return load_teacher(spec, device)


def generator(
    spec: str, providers: "ProviderRegistry", *, max_sentences: int, device: str = "auto"
) -> "BatchBackend | CallBackend | SourceTexts":
    """Return the generator of the texts: `source`, `extractive`, or a chat model.

    Raises:
        UsageError: `spec` names no generator.
        PrerequisiteError: its key or model is missing.
    """
    check_spec("writer", spec, providers)
    if spec == "source":
        from prism_cli.domain.source_labels import SourceTexts

        return SourceTexts()
    if spec == "extractive":
        from prism_cli.commands.wiring import extractive

        return extractive(max_sentences, device)
    from prism_cli.domain.evidence_task import EvidenceTask

    return _chat(spec, EvidenceTask(), providers, device)


def rewriter(
    spec: str, task: "ChatTask", providers: "ProviderRegistry", *, device: str = "auto"
) -> "BatchBackend | CallBackend":
    """Return the generator of keywords, `extractive` or a chat model; raise as `generator`."""
    check_spec("generator", spec, providers)
    if spec == "extractive":
        from prism_cli.adapters.generators.extractive_keywords import ExtractiveRewriter

        return ExtractiveRewriter(task)
    return _chat(spec, task, providers, device)


def check_spec(role: str, spec: str, providers: "ProviderRegistry") -> None:
    """Check that the option of `role` accepts a spec.

    Raises:
        UsageError: another kind of spec; the message has the expected kind and a valid command.
        ModelError: as `check_name`.
    """
    from prism_cli.commands.wiring import check_name
    from prism_cli.domain.model_specs import fits

    named = providers.resolve(spec)
    if not fits(role, spec, named.api if named else None):
        raise _refused(role, spec, providers)
    check_name(role, spec)


def _refused(role: str, spec: str, providers: "ProviderRegistry") -> "UsageError":
    from prism_cli.domain.model_specs import spec_error
    from prism_cli.errors import UsageError

    named = providers.resolve(spec)
    api = named.api if named else None
    return UsageError(spec_error(role, spec, api, sys.argv, providers.apis, providers.models))


def catalog(common: "Paid", *, retry: bool = True) -> "ProviderRegistry":
    """Return the providers of a command line; without `retry` each request is sent once.

    Raises:
        ConfigError, MissingDataError: a provider file is wrong, or not there.
    """
    from prism_cli.adapters.providers.registry import ProviderRegistry
    from prism_cli.configs.providers import load_providers

    return ProviderRegistry(
        load_providers(common.provider_file),
        common.concurrency,
        priced=common.max_cost is not None,
        keyless=common.dry_run,
        retry=retry,
    )


def searcher(spec: str, results: int, providers: "ProviderRegistry") -> "CallBackend":
    """Return the search: `exa`, `tavily`, or PROVIDER/MODEL of a provider with one of their APIs.

    Raises:
        UsageError: a spec that names no search, or more results than it gives.
        PrerequisiteError: its key is missing.
    """
    from prism_cli.adapters.providers.keys import check_keys
    from prism_cli.adapters.searchers.backend import SearchBackend

    check_spec("searcher", spec, providers)
    named = providers.resolve(spec if "/" in spec else f"{spec}/search")
    if named is None:
        raise _refused("searcher", spec, providers)
    check_keys([named], "rows that have documents need no search and no key")
    return SearchBackend(named, results)


def judge_task(rubric: str | None) -> "JudgeTask":
    """Return the task of chat models, with the given rubric in place of the default."""
    from prism_cli.domain.rubric import RUBRIC, JudgeTask

    return JudgeTask(RUBRIC if rubric is None else rubric)


def judges(
    specs: "Sequence[str]", task: "JudgeTask", providers: "ProviderRegistry", pack: int | None = 1
) -> "list[Judge]":
    """Return the judges of `specs`, in order; all missing keys are reported at once.

    Args:
        task: of chat models; decision endpoints take its rubric.
        pack: documents that share a call to a decision endpoint; None: as many as it takes.

    Raises:
        UsageError: a spec that names no judge.
        PrerequisiteError: keys or models are missing.
    """
    from prism_cli.adapters.providers.keys import check_keys

    for spec in specs:
        check_spec("judge", spec, providers)
    check_keys(
        map(providers.resolve, specs),
        f"`{KEYLESS_JUDGES}` need no key, nor does `--judge source`: the rows' own source_label",
    )
    return [_judge(spec, task, providers, pack) for spec in specs]


def relative_prices(judges: "Sequence[Judge]") -> list[float]:
    """Return the cost of a typical question to each judge, the dearest being 1; 1 for each that is
    asked, if the price of a provider is unknown or all are free.

    A judge that costs nothing counts a hundredth, so that no more of them are asked than needed;
    the row's own label nothing.
    """
    from prism_cli.domain.source_labels import SourceLabelJudge
    from prism_cli.ports import CallBackend

    pair = ("what is the boiling point of water", "a passage of some length " * 50)
    servers = [judge for judge in judges if isinstance(judge, CallBackend)]
    usd = {judge.spec: judge.estimate([(pair, 0)]).usd for judge in servers}
    dearest = max(usd.values(), default=0.0)
    known = dearest > 0 and all(judge.rate_limits.priced for judge in servers)
    prices = []
    for judge in judges:
        price = round(max(usd.get(judge.spec, 0.0) / dearest, 0.01), 4) if known else 1.0
        prices.append(0.0 if isinstance(judge, SourceLabelJudge) else price)
    return prices


def probe_panel(specs: "Sequence[str]", providers: "ProviderRegistry") -> "list[dict[str, Any]]":
    """Ask each judge of a provider about a pair that is plainly relevant.

    Raises:
        UsageError: a spec that names no judge.
    """
    from prism_cli.adapters.judges.probe import probe_judges
    from prism_cli.ports import CallBackend

    probed: list[tuple[str, CallBackend | str]] = []
    for spec in specs:
        named = providers.resolve(spec)
        judge = _judge(spec, judge_task(None), providers)
        if named and named.client.lacks_key:
            probed.append((spec, f"{named.client.provider.key_env} is not in the environment"))
        elif isinstance(judge, CallBackend):
            probed.append((spec, judge))
    return probe_judges(probed)


def chat_model(
    spec: str,
    task: "ChatTask",
    providers: "ProviderRegistry",
    *,
    role: str = "synthesizer",
    device: str = "auto",
) -> "BatchBackend | CallBackend":
    """Return the model for a chat task: `provider/model`, or one in this process, `hf:…`.

    Args:
        role: of the option, for messages.

    Raises:
        UsageError: `spec` names no chat model.
        PrerequisiteError: its key is missing.
        ModelError: no such model in this process, or none that chats.
    """
    check_spec(role, spec, providers)
    return _chat(spec, task, providers, device)


def _chat(
    spec: str, task: "ChatTask", providers: "ProviderRegistry", device: str
) -> "BatchBackend | CallBackend":
    from prism_cli.adapters.chat.load import load_chat

    return load_chat(spec, task, providers, device)


def rater(
    spec: str, providers: "ProviderRegistry", *, device: str = "auto"
) -> "BatchBackend | CallBackend":
    """Return the rater of contribution and evidence; raise as `load_rater`."""
    from prism_cli.adapters.judges.rater import load_rater

    check_spec("rater", spec, providers)
    return load_rater(spec, providers, device)


def _judge(
    spec: str, task: "JudgeTask", providers: "ProviderRegistry", pack: int | None = 1
) -> "Judge":
    from prism_cli.adapters.chat.load import chat_backend

    check_spec("judge", spec, providers)
    if named := providers.resolve(spec):
        if named.api == "openai":
            return chat_backend(named, task)
        return _decision(named, task.rubric, pack)
    if label := _source_label("judge", spec, providers):
        return label
    from prism_cli.adapters.judges.local import load_local_judge

    return load_local_judge(spec, task)


def _source_label(role: str, spec: str, providers: "ProviderRegistry") -> "SourceLabelJudge | None":
    """Return the reader of source labels that `source` or `source:GRADE` names.

    Raises:
        UsageError: the grade is no number above 0.
    """
    from prism_cli.domain.source_labels import SourceLabelJudge

    name, colon, grade = spec.partition(":")
    if name != "source":
        return None
    if colon and not _is_grade(grade):
        raise _refused(role, spec, providers)
    return SourceLabelJudge(spec, float(grade) if colon else 1.0)


def _decision(named: "ModelRef", rubric: str, pack: int | None) -> "CallBackend":
    from prism_cli.adapters.judges.decision_backend import DecisionBackend
    from prism_cli.adapters.judges.rater import decision_endpoint

    return DecisionBackend(named, rubric, decision_endpoint(named), pack)


def _is_grade(text: str) -> bool:
    digits, _, decimals = text.partition(".")
    return f"{digits}{decimals}".isascii() and f"{digits}{decimals}".isdigit() and float(text) > 0
