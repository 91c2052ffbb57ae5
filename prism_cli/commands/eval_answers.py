"""`prism eval answers`: whether a reader answers as well from the evidence as from documents."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import EvalPaid, Inputs, Paid, evaluation_folder
from prism_cli.commands.settings import with_settings
from prism_cli.configs.base import to_dict
from prism_cli.configs.eval_answers import EvalAnswersConfig
from prism_cli.wording import wrapped

if TYPE_CHECKING:
    from prism_cli.evaluation.answers.stage import Price
    from prism_cli.evaluation.metrics_file import PublishedMetrics
    from prism_cli.ports import BatchBackend, CallBackend

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism eval answers reranked.jsonl --gold answers.jsonl --reader hf:smollm2 "
    "-o runs/eval/answers",
)


@app.command()
@with_settings(EvalAnswersConfig, "eval-answers")
def answers(
    inputs: Inputs,
    sort_queries: Annotated[
        bool,
        typer.Option("--sort-queries", help="Put pair rows of a query together first, on disk."),
    ] = False,
    *,
    config: EvalAnswersConfig,
    common: EvalPaid,
) -> None:
    """Have a reader answer the queries from documents, from evidence, and from other texts.

    Rows are those of `prism rerank`, or labelled ones. The reader sees the documents with a yes,
    the best --documents of each query, or their evidence, and so on; it answers in the fewest
    words, or says that there is no answer. Answers are compared with those of people (--gold) by
    SQuAD's rules: exact match, F1, answer contained. Queries without marks are left out. A reader
    that answers poorly from the documents cannot show whether the evidence is enough, and is warned
    of: hf:smollm2 is for trying the command.
    """
    from prism_cli.commands import wiring
    from prism_cli.commands.gold_files import read_gold
    from prism_cli.commands.rows_evaluation import run_evaluation
    from prism_cli.domain.reading_task import TEMPLATE
    from prism_cli.errors import UsageError
    from prism_cli.evaluation.answers.evaluate import AnswersOptions, evaluate
    from prism_cli.evaluation.answers.stage import AnswersStage
    from prism_cli.evaluation.metrics_file import typed_command
    from prism_cli.evaluation.quality.same_judge import find_labeller
    from prism_cli.evaluation.rows_evaluation import check_output
    from prism_cli.shards.by_query import input_sources

    if config.reader is None:
        raise UsageError("--reader: name the model that answers, such as --reader hf:smollm2")
    marks = read_gold(config.gold, quiet=common.quiet)
    if marks is None:
        raise UsageError("--gold: name the answers of people, such as --gold answers.jsonl")
    reader, price = _reader(config.reader, common, config.device)
    contexts = config.chosen_contexts
    closest = wiring.closest_sentences(config.device) if "closest" in contexts else None
    labelled = find_labeller(config.reader, inputs, common.field_names)
    options = AnswersOptions(
        output=evaluation_folder(common.output, inputs, "answers"),
        config=to_dict(config) | {"limit": common.limit, "fields": common.field_names},
        seed=config.seed,
        gold=marks.figures,
        command=typed_command(sys.argv),
        models={model.spec: model.fingerprint for model in (closest, reader) if model},
        reader={"spec": config.reader, "labelled_rows": labelled},
        overwrite=common.overwrite or common.fresh or common.retry_final,
        max_rejects=common.max_rejects,
        quiet=common.quiet,
    )
    stage = AnswersStage(
        reader,
        marks,
        contexts,
        documents=config.documents,
        any_verdict=config.verdict == "any",
        source=config.texts,
        closest=closest,
        price=price,
    )
    run_evaluation(
        stage,
        input_sources(inputs, common.field_names, sort_queries=sort_queries),
        options,
        check_output(options),
        evaluate,
        partial(_print_figures, common=common),
        common=common,
        config=config,
        gold=config.gold,
        extra_config={"reading_hash": TEMPLATE},
    )


def _print_figures(answers: "PublishedMetrics", *, common: Paid) -> None:
    from prism_cli.commands.answers_tables import print_answers
    from prism_cli.reporting.answers import figure_warnings
    from prism_cli.terminal import print_json

    if common.json:
        print_json(answers.metrics)
    elif not common.quiet:
        print_answers(answers.metrics)
    for warning in () if common.quiet else figure_warnings(answers.metrics):
        print(wrapped(f"prism: warning: {warning}", sys.stderr), file=sys.stderr)


def _reader(
    spec: str, common: Paid, device: str
) -> "tuple[BatchBackend | CallBackend, Price | None]":
    """Return the reader, and its provider's prices where they are known."""
    from prism_cli.commands import paid_wiring
    from prism_cli.domain.reading_task import ReadingTask

    providers = paid_wiring.catalog(common)
    reader = paid_wiring.chat_model(spec, ReadingTask(), providers, role="reader", device=device)
    named = providers.resolve(spec)
    return reader, named.card.usd if named and named.priced else None
