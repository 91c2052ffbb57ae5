"""`prism rerank`: documents to scores, verdicts and evidence."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import Inputs
from prism_cli.commands.settings import with_settings
from prism_cli.commands.spreading import SpreadCommon
from prism_cli.commands.unused_options import check_unused
from prism_cli.configs.rerank import RerankConfig
from prism_cli.reporting.sanitize import escape_invisible

if TYPE_CHECKING:
    from prism_cli.domain.evidence_budget import RankOptions
    from prism_cli.ports import RerankRuntime
    from prism_cli.reranker import Reranker
    from prism_cli.stages.rerank import RerankStage

LIMITS = ("evidence_top", "threshold", "max_evidence_tokens", "evidence_from", "skip_repeats")
"""Options that say who gets evidence."""

app = typer.Typer(
    add_completion=False,
    epilog='Example: prism rerank --query "what is BM25?" docs.jsonl --model hf:prism-tiny; '
    "prism rerank pairs.jsonl -o reranked.jsonl",
)


@app.command()
@with_settings(RerankConfig, "rerank")
def rerank(
    inputs: Inputs,
    query: Annotated[
        str | None,
        typer.Option(
            help="Rank all rows as documents for this query and print the ranking, with --json as "
            "JSON. Rows are written with -o only.",
            show_default=False,
        ),
    ] = None,
    sort_queries: Annotated[
        bool,
        typer.Option(
            "--sort-queries",
            help="Group the rows of each query first, so that all get a rank.",
        ),
    ] = False,
    pretty: Annotated[
        bool,
        typer.Option(
            "--pretty",
            help="With --query: score bars and cited sentences. For rows: prism show OUT.",
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
    given: dict[str, object],
    common: SpreadCommon,
) -> None:
    """Rank documents; say yes or no, and why, for each.

    Rows: {query, document}, or {query, documents: ["…", {doc_id, title, text}]}. With --query
    each row is a document; one that holds another query is left out. A document longer than
    --max-tokens, or than two of the model's windows, is read in windows; the result says how many.
    """
    from prism_cli.commands import wiring
    from prism_cli.commands.rerank_query import check_question, rerank_query
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.errors import UsageError
    from prism_cli.shards.by_query import input_sources
    from prism_cli.shards.reader import STDIN, find_shards

    config = load_config(
        RerankConfig, "rerank", recipe=common.recipe, flags=given, sets=common.sets
    )
    _check_evidence(config, given, common.sets)
    if query is not None:
        _check_query(query, sort_queries=sort_queries)
    elif pretty:
        raise UsageError("--pretty: shows the ranking of one --query; for rows, prism show OUT")
    wiring.check_model("reranker", config.model)
    find_shards([name for name in inputs if name != STDIN])
    check_inputs(inputs, common.field_names, documents=query is not None)
    if query is not None:
        check_question(query, inputs, common.field_names)
    sources = input_sources(inputs, common.field_names, sort_queries=sort_queries)
    if print_prompts:
        from prism_cli.stages.rerank_prompts import RerankPromptsStage

        output = common.output or Path("-")
        stage = RerankPromptsStage(*wiring.prompter(config), query)
        extra = {} if query is None else {"query": query}
        shared = replace(common, output=output)
        run_row_stage(stage, sources, shared, config, extra_config=extra)
        return
    if not common.quiet:
        print(
            escape_invisible(f"prism: model {_origin(config, named='model' in given)}"),
            file=sys.stderr,
        )
    if query is not None:
        figures: dict[str, object] = {}
        reranker = _reranker(config, strict_model, figures)
        options = _rank_options(config)
        rerank_query(query, inputs, reranker, options, config, common, figures, pretty=pretty)
        return
    from prism_cli.commands.ranking_text import example_lines
    from prism_cli.engine.stage_spec import StageSpec

    ranker = rerank_stage(config, strict_model, common.quiet)
    run_row_stage(
        ranker,
        sources,
        common,
        config,
        closing=lambda: example_lines(ranker.best, ranker.usable),
        spec=StageSpec.of(rerank_stage, config, strict_model, common.quiet),
    )


def rerank_stage(config: RerankConfig, strict_model: bool, quiet: bool) -> "RerankStage":
    """Return the stage; the model is loaded when the first row needs it."""
    from prism_cli.engine.progress_display import announce_load
    from prism_cli.stages.rerank import RerankStage

    figures: dict[str, object] = {}
    return RerankStage(
        _reranker(config, strict_model, figures),
        _rank_options(config),
        figures=figures,
        before_load=partial(announce_load, config.model, quiet=quiet),
    )


def _reranker(config: RerankConfig, strict_model: bool, figures: dict[str, object]) -> "Reranker":
    """Return the lazy model, which adds its canary and runtime to `figures` when it is loaded."""
    from prism_cli.commands import wiring

    def note(runtime: "RerankRuntime") -> None:
        figures["canary"] = _checked_canary(*wiring.canary(runtime), strict_model)
        figures["runtime"] = runtime.figures

    return wiring.reranker(config.model, config, lazy=True, on_load=note)


def _check_query(query: str, *, sort_queries: bool) -> None:
    from prism_cli.errors import UsageError
    from prism_cli.rows.texts import is_blank

    if is_blank(query):
        raise UsageError("--query: expected a question, found a blank string")
    if sort_queries:
        raise UsageError(
            "--sort-queries: for rows that have queries of their own; not with --query"
        )


def _check_evidence(config: RerankConfig, typed: Mapping[str, object], sets: Sequence[str]) -> None:
    """Refuse, or warn about, limits on evidence that is not written.

    Raises:
        UsageError: a limit on the command line.
    """
    if not config.evidence:
        check_unused(
            LIMITS,
            config,
            typed,
            sets,
            refusal="limits evidence, but none is written (evidence is off, by --no-evidence or "
            "the settings); leave out one of the two",
            note="no evidence is written",
        )


def _rank_options(config: RerankConfig) -> "RankOptions":
    from dataclasses import fields

    from prism_cli.domain.evidence_budget import RankOptions
    from prism_cli.modeling.model_folder import own_fuse

    names = [field.name for field in fields(RankOptions) if field.name != "own_fuse"]
    own = own_fuse(config.model) if config.fuse is None else None
    return RankOptions(**{name: getattr(config, name) for name in names}, own_fuse=own)


def _origin(config: RerankConfig, *, named: bool) -> str:
    from prism_cli.configs.eval import RELEASED_MODEL

    if named:
        return config.model
    if config.model == RELEASED_MODEL:
        return f"{config.model} (the released 2B; --model names another)"
    return f"{config.model} (from the settings; --model names another)"


def _checked_canary(
    scores: dict[str, float | bool], warning: str | None, strict: bool
) -> dict[str, float | bool]:
    """Return the canary's scores; warn if the relevant document does not score clearly above the
    irrelevant one.

    Raises:
        ModelError: instead of the warning, if `strict`.
    """
    from prism_cli.errors import ModelError

    if warning and strict:
        raise ModelError(f"{warning}. Stopped because of --strict-model")
    if warning:
        print(escape_invisible(f"prism: warning: {warning}"), file=sys.stderr)
    return scores
