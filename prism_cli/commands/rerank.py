"""`prism rerank`: documents to scores, verdicts and evidence."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import Common, Inputs, with_common
from prism_cli.reporting.visible import spelled

if TYPE_CHECKING:
    from prism_cli.configs.rerank import RerankConfig
    from prism_cli.domain.evidence_budget import RankOptions
    from prism_cli.ports import RerankRuntime

LIMITS = ("evidence_top", "threshold", "max_evidence_tokens")
"""Options that say who gets evidence."""

app = typer.Typer(
    add_completion=False,
    epilog='Example: prism rerank --query "what is BM25?" docs.jsonl --model hf:prism-tiny; '
    "prism rerank pairs.jsonl -o reranked.jsonl",
)


def _setting(help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(help=help, show_default=False)
    return option


@app.command()
@with_common
def rerank(
    inputs: Inputs,
    query: Annotated[
        str | None,
        _setting(
            "A question; the rows are documents then, and the ranking is printed. Rows are "
            "written too where -o names a file; --json prints it as one JSON object."
        ),
    ] = None,
    model: Annotated[
        str | None,
        _setting(
            "hf:prism-tiny (small, built in), PATH of a model or run, or a hub id. Default: the "
            "project's, else the released 2B."
        ),
    ] = None,
    evidence: Annotated[
        bool | None,
        typer.Option(
            "--evidence/--no-evidence",
            help="Write contribution and evidence for yes; without, scores alone. Default on.",
            show_default=False,
        ),
    ] = None,
    top_n: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep the best N documents of each query; default all. With --query default 10.",
            show_default=False,
        ),
    ] = None,
    evidence_top: Annotated[
        int | None, _setting("Evidence for the best K documents of a query alone.")
    ] = None,
    threshold: Annotated[
        float | None,
        _setting(
            "Evidence above this score; default 0.5, the verdict yes. Below 0.5 a document that "
            "is judged no may get it too."
        ),
    ] = None,
    max_evidence_tokens: Annotated[
        int | None,
        _setting("Tokens of all evidence of a query, best document first; default no limit."),
    ] = None,
    max_tokens: Annotated[
        int | None, _setting("Longest prompt, in tokens; longer documents are cut. Default 10240.")
    ] = None,
    max_new_tokens: Annotated[int | None, _setting("Longest text, in tokens. Default 512.")] = None,
    batch_tokens: Annotated[
        int | None,
        _setting("Document tokens of a batch. Default 2048 on CPU, what memory takes on CUDA."),
    ] = None,
    dtype: Annotated[
        str | None,
        _setting(
            "auto (default: float32 on a CPU, bfloat16 on CUDA), fast, float32, bfloat16, float16."
        ),
    ] = None,
    device: Annotated[str | None, _setting("auto, cpu, cuda, cuda:1. Default auto.")] = None,
    attn: Annotated[
        str | None, _setting("auto, sdpa, eager or flash_attention_2. Default auto: sdpa.")
    ] = None,
    engine: Annotated[
        str | None,
        _setting("transformers, or vllm on a GPU that it has to itself. Default transformers."),
    ] = None,
    profile: Annotated[
        str | None,
        _setting("Prompt: prism, prism-no-think or qwen3-reranker. Default by the model."),
    ] = None,
    sort_queries: Annotated[
        bool,
        typer.Option(
            "--sort-queries",
            help="Put the rows of a query together first, so that all get a rank.",
        ),
    ] = False,
    print_prompts: Annotated[
        bool,
        typer.Option(
            "--print-prompts",
            help="Write {query_id, doc_id, prompt, ids} instead, without loading weights.",
        ),
    ] = False,
    strict_model: Annotated[
        bool,
        typer.Option(
            "--strict-model",
            help="Exit 3 where a known relevant pair does not clearly beat an irrelevant one.",
        ),
    ] = False,
    *,
    common: Common,
) -> None:
    """Rank documents; say yes or no, and why, for each.

    Rows: {query, document}, or {query, documents: ["…", {doc_id, title, text}]}. With --query
    each row is a document; one that holds another query is left out. The model reads the beginning
    of a document that is longer than --max-tokens; the result says so.
    """
    from prism_cli.commands import wiring
    from prism_cli.commands.rerank_query import check_question, rerank_query
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.configs.rerank import RerankConfig
    from prism_cli.shards.reader import STDIN, Source, find_shards

    flags = {
        "model": model,
        "evidence": evidence,
        "top_n": top_n,
        "evidence_top": evidence_top,
        "threshold": threshold,
        "max_evidence_tokens": max_evidence_tokens,
        "max_tokens": max_tokens,
        "max_new_tokens": max_new_tokens,
        "batch_tokens": batch_tokens,
        "dtype": dtype,
        "device": device,
        "attn": attn,
        "engine": engine,
        "profile": profile,
        "seed": common.seed,
    }
    config = load_config(
        RerankConfig, "rerank", recipe=common.recipe, flags=flags, sets=common.sets
    )
    _check_evidence(config, flags, common.sets)
    if query is not None:
        _check_query(query, sort_queries=sort_queries, print_prompts=print_prompts)
    wiring.check_model("reranker", config.model)
    find_shards([one for one in inputs if one != STDIN])
    check_inputs(inputs, common.field_names, documents=query is not None)
    if query is not None:
        check_question(query, inputs, common.field_names)
    sources: list[str | Source] = list(inputs)
    if sort_queries:
        from prism_cli.shards.by_query import SortedByQuery

        sources = [SortedByQuery(find_shards(inputs), common.field_names)]
    if print_prompts:
        from prism_cli.stages.rerank_prompts import RerankPromptsStage

        prompter = wiring.prompter(config.model, config.max_tokens, config.profile)
        output = common.output or Path("-")
        run_row_stage(RerankPromptsStage(prompter), sources, replace(common, output=output), config)
        return
    if not common.quiet:
        print(spelled(f"prism: model {_origin(config, given=model is not None)}"), file=sys.stderr)
    figures: dict[str, object] = {}

    def note(runtime: "RerankRuntime") -> None:
        figures["canary"] = _checked_canary(*wiring.canary(runtime), strict_model)
        figures["runtime"] = runtime.figures

    reranker = wiring.reranker(
        config.model,
        device=config.device,
        dtype=config.dtype,
        attn=config.attn,
        engine=config.engine,
        max_new_tokens=config.max_new_tokens,
        profile=config.profile,
        max_tokens=config.max_tokens,
        batch_tokens=config.batch_tokens,
        lazy=True,
        on_load=note,
    )
    options = _rank_options(config)
    if query is not None:
        rerank_query(query, inputs, reranker, options, config, common, figures)
        return
    from prism_cli.commands.ranking_text import example_lines
    from prism_cli.stages.rerank import RerankStage

    stage = RerankStage(reranker, options, figures=figures)
    run_row_stage(
        stage, sources, common, config, closing=lambda: example_lines(stage.best, stage.usable)
    )


def _check_query(query: str, *, sort_queries: bool, print_prompts: bool) -> None:
    from prism_cli.errors import UsageError
    from prism_cli.rows.texts import is_blank

    if is_blank(query):
        raise UsageError("--query: expected a question, found a blank string")
    for given, option in ((sort_queries, "--sort-queries"), (print_prompts, "--print-prompts")):
        if given:
            raise UsageError(f"{option}: for rows that have queries of their own; not with --query")


def _check_evidence(
    config: "RerankConfig", flags: Mapping[str, object], sets: Sequence[str]
) -> None:
    """Refuse, or tell of, limits on evidence that is not written.

    Raises:
        UsageError: a limit on the command line.
    """
    from prism_cli.errors import UsageError

    if config.evidence:
        return
    given = [name for name in LIMITS if name in config.model_dump(exclude_defaults=True)]
    typed = {item.partition("=")[0].strip() for item in sets}
    typed |= {name for name, value in flags.items() if value is not None}
    if wrong := [name for name in LIMITS if name in typed]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(
            f"{options}: limits evidence, but none is written (evidence is off, by --no-evidence "
            "or the settings); leave out one of the two"
        )
    if given:
        print(
            f"prism: no evidence is written: {', '.join(given)} of the settings mean nothing",
            file=sys.stderr,
        )


def _rank_options(config: "RerankConfig") -> "RankOptions":
    from dataclasses import fields

    from prism_cli.domain.evidence_budget import RankOptions

    return RankOptions(**{one.name: getattr(config, one.name) for one in fields(RankOptions)})


def _origin(config: "RerankConfig", *, given: bool) -> str:
    from prism_cli.configs.eval import RELEASED_MODEL

    if given:
        return config.model
    if config.model == RELEASED_MODEL:
        return f"{config.model} (the released 2B; --model names another)"
    return f"{config.model} (from the settings; --model names another)"


def _checked_canary(
    scores: dict[str, float | bool], told: str | None, strict: bool
) -> dict[str, float | bool]:
    """The canary's scores, after a warning where they are the wrong way round or too near.

    Raises:
        ModelError: so, and `strict`.
    """
    from prism_cli.errors import ModelError

    if told and strict:
        raise ModelError(f"{told}. Stopped because of --strict-model")
    if told:
        print(spelled(f"prism: warning: {told}"), file=sys.stderr)
    return scores
