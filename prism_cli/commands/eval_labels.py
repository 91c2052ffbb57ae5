"""`prism eval labels`: how far judges agree, and teacher and panel, on labelled rows."""

import shlex
import sys

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import EvalCommon, Inputs, evaluation_folder, print_report_path
from prism_cli.commands.settings import with_settings
from prism_cli.configs.base import to_dict
from prism_cli.configs.eval_labels import EvalLabelsConfig
from prism_cli.domain.defaults import KEYLESS_JUDGES

app = typer.Typer(
    add_completion=False,
    help="Agreement of judges, of teacher and panel; rows for review.",
    epilog="Example: prism eval labels labelled.jsonl -o runs/eval/labels",
)


@app.command()
@with_settings(EvalLabelsConfig, "eval-labels")
def eval_labels(inputs: Inputs, *, config: EvalLabelsConfig, common: EvalCommon) -> None:
    """Write DIR/metrics.json, DIR/report.html and DIR/review.jsonl (-o DIR).

    Agreement of judges is computed on rows with `audit: true`, which `prism relabel` draws at
    random; without such rows, on all rows, among the judges that voted on every one.
    """
    from prism_cli.commands.labels_tables import print_labels
    from prism_cli.engine.rejects import too_many_rejects
    from prism_cli.errors import REJECTS_EXIT_CODE
    from prism_cli.evaluation.labels.evaluate import REJECTS, LabelsOptions, evaluate_labels
    from prism_cli.evaluation.metrics_file import typed_command
    from prism_cli.terminal import print_json
    from prism_cli.wording import counted

    check_inputs(inputs, common.field_names)
    options = LabelsOptions(
        output=evaluation_folder(common.output, inputs, "labels"),
        config=to_dict(config),
        seed=config.seed,
        review=config.review,
        limit=common.limit,
        fields=common.field_names,
        command=typed_command(sys.argv),
        overwrite=common.overwrite or common.fresh,
        quiet=common.quiet,
        max_seconds=common.max_seconds,
        max_rejects=common.max_rejects,
    )
    summary = evaluate_labels(inputs, options)
    if common.json:
        print_json(summary.metrics)
    elif not common.quiet:
        print_labels(summary.metrics)
    if not common.quiet:
        rejected, labels = summary.metrics["input_rows"]["rejected"], summary.metrics["labels"]
        if labels["rows"] and not labels["rows_with_votes"]:
            fields = [word for field in common.fields for word in ("--field", field)]
            first = shlex.join(["prism", "relabel", *inputs, *fields, "-o", "judged.jsonl"])
            print(
                f"no row has votes. Next:\n  {first} {KEYLESS_JUDGES} && prism eval labels "
                "judged.jsonl   # without --judge, the paper's five are asked, which need keys",
                file=sys.stderr,
            )
        print_report_path(summary.path, finished_before=summary.finished_before)
        if rejected:
            message = f"{counted(rejected, 'row')} set aside in {options.output / REJECTS}"
            print(message, file=sys.stderr)
    if too_many_rejects(**summary.metrics["input_rows"], max_rejects=common.max_rejects):
        raise typer.Exit(REJECTS_EXIT_CODE)
