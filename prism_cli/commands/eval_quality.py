"""`prism eval quality`: evidence measured against its document, and against people's marks."""

import shlex
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import EvalPaid, Inputs, Paid, evaluation_folder
from prism_cli.commands.settings import with_settings
from prism_cli.configs.base import to_dict
from prism_cli.configs.eval_quality import EvalQualityConfig
from prism_cli.domain.defaults import KEYLESS_JUDGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prism_cli.engine.summary import RunSummary
    from prism_cli.evaluation.metrics_file import PublishedMetrics

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism eval quality reranked.jsonl --gold answers.jsonl -o runs/eval/quality",
)


@app.command()
@with_settings(EvalQualityConfig, "eval-quality")
def quality(
    inputs: Inputs,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write a sample to FILE.csv for people to rate, with FILE.guide.txt and "
            "FILE.key.jsonl; a file that is there stays as it is.",
            show_default=False,
        ),
    ] = None,
    sheet_rows: Annotated[
        int, typer.Option(min=1, max=10_000, help="Rows of the sample; default 60.")
    ] = 60,
    sheet_in: Annotated[
        list[str] | None,
        typer.Option(
            help="A sheet that people filled in, beside --judge; one file per person.",
            show_default=False,
        ),
    ] = None,
    *,
    config: EvalQualityConfig,
    common: EvalPaid,
) -> None:
    """Measure verdicts and texts that `prism rerank` wrote, or those of labelled rows.

    Answers and rationales are people's: a gold row with a doc_id applies to that pair; one without
    speaks of every document of its query that holds an answer or a marked sentence. A yes without
    evidence keeps no answer and recalls nothing; a no is counted by missed_yes_rate alone.
    Texts are compared as SQuAD does: lower case, no punctuation, no English articles; an answer
    is kept where it occurs as a whole (5 does not occur in 15, Manning occurs in Manning's).
    """
    from prism_cli.commands import wiring
    from prism_cli.commands.gold_files import read_gold
    from prism_cli.commands.quality_rating import rating_plan, write_sheet
    from prism_cli.commands.rows_evaluation import run_evaluation
    from prism_cli.evaluation.metrics_file import typed_command
    from prism_cli.evaluation.quality.evaluate import QualityOptions, evaluate
    from prism_cli.evaluation.quality.stage import QualityStage
    from prism_cli.evaluation.quality.text_figures import FigurePool
    from prism_cli.evaluation.rows_evaluation import check_output

    extractive = None
    if "extractive" in config.chosen_baselines:
        extractive = wiring.extractive(config.max_sentences, config.device)
    rating = rating_plan(inputs, common, config, sheet_in or [])
    marks = read_gold(config.gold, quiet=common.quiet)
    options = QualityOptions(
        output=evaluation_folder(common.output, inputs, "quality"),
        config=to_dict(config) | {"limit": common.limit, "fields": common.field_names},
        seed=config.seed,
        gold=marks.figures if marks else None,
        command=typed_command(sys.argv),
        models={one.spec: one.fingerprint for one in (extractive, rating.judge) if one},
        judge=rating.judge_figures,
        sheets=rating.sheets,
        overwrite=common.overwrite or common.fresh or common.retry_final,
        max_rejects=common.max_rejects,
        quiet=common.quiet,
    )
    guard = check_output(options)
    if sheet is not None and not common.dry_run:
        write_sheet(sheet, sheet_rows, inputs, common, config)
    pool = FigurePool(config.processes)
    stage = QualityStage(
        config.texts, marks, config.chosen_baselines, extractive, rating.rate, pool
    )
    with closing(pool):
        run_evaluation(
            stage,
            inputs,
            options,
            guard,
            evaluate,
            partial(_print_figures, inputs=inputs, texts=config.texts, common=common),
            common=common,
            config=config,
            gold=config.gold,
            extra_config=rating.extra_config,
            explain=partial(_explain, inputs=inputs, texts=config.texts, common=common),
        )


def _explain(summary: "RunSummary", *, inputs: list[str], texts: str, common: Paid) -> None:
    """Print the commands that make what no row has."""
    if not summary.counts.done and any(map(_lacks_texts, summary.reject_examples)):
        message = _what_first(inputs, common.fields, texts, verdict=True)
        print(message, file=sys.stderr)


def _print_figures(
    quality: "PublishedMetrics", *, inputs: list[str], texts: str, common: Paid
) -> None:
    """Print the figures, and what rows lack, as --json and --quiet want it."""
    from prism_cli.commands.quality_tables import print_quality
    from prism_cli.terminal import print_json

    if common.json:
        print_json(quality.metrics)
    elif not common.quiet:
        print_quality(quality.metrics)
    if not common.quiet and _lacks_evidence(quality.metrics["pairs"]):
        print(_what_first(inputs, common.fields, texts, verdict=False), file=sys.stderr)


def _lacks_texts(reason: str) -> bool:
    from prism_cli.rows.verdict_texts import NO_VERDICT_TEXTS

    return reason.endswith(NO_VERDICT_TEXTS)


def _lacks_evidence(pairs: "Mapping[str, int]") -> bool:
    """Return whether no yes has texts because none were requested."""
    return bool(pairs.get("yes")) and pairs["yes"] == pairs.get("yes_without_texts_asked")


_MADE = {
    "predicted_verdict": ("rerank", "reranked.jsonl", "a model's verdicts and texts"),
    "verdict": (f"relabel {KEYLESS_JUDGES}", "labelled.jsonl", "labels by judges without a key"),
    "predicted_evidence": ("rerank", "reranked.jsonl", "a model's verdicts and texts"),
    "evidence": ("distill --generator extractive", "texts.jsonl", "sentences of the document"),
}
"""Field -> the command that writes it, a name for its output, what it writes."""


def _what_first(inputs: list[str], fields: list[str], texts: str, *, verdict: bool) -> str:
    """The field that no row has, and the commands that make it and measure the rows.

    Args:
        verdict: whether the verdict is what they lack; else the evidence.
    """
    what = "verdict" if verdict else "evidence"
    names = {"predicted": [f"predicted_{what}"], "labels": [what]}
    wanted = names.get(texts, [f"predicted_{what}", what])
    given = shlex.join([*inputs, *(word for one in fields for word in ("--field", one))])
    lines = [f"no row has {' or '.join(wanted)}, which this command measures. Next:"]
    for name in wanted:
        command, output, content = _MADE[name]
        lines.append(
            f"  prism {command} {given} -o {output} && prism eval quality {output}   # {content}"
        )
    return "\n".join(lines)
