"""`prism eval`: ranking measures of a first stage and of models, side by side."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.eval_sets import check_fusion, data_folder, find_sets
from prism_cli.commands.eval_tables import print_tables
from prism_cli.commands.options import Common, EvalCommon, check_folder_name, print_report_path
from prism_cli.commands.settings import with_settings
from prism_cli.configs.base import recorded
from prism_cli.configs.eval import EvalConfig
from prism_cli.reporting.sanitize import escape_invisible
from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.evaluation.ranking.plan import EvalModel, EvalSet

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism eval data/scifact --top-k 20 --model hf:smollm2 --model runs/tiny",
)


@app.command()
@with_settings(EvalConfig, "eval")
def evaluate(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="BEIR_DIR",
            help="BEIR folders (./quality where one has a subcommand's name), or beir-qa for the "
            "paper's nine sets. With --qrels: one TREC run file.",
            show_default=False,
        ),
    ],
    trust_remote_code: Annotated[
        str | None,
        typer.Option(
            metavar="REPO@COMMIT",
            help="Run the code that comes with the first stage st:REPO, at exactly this commit.",
            show_default=False,
        ),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Judgements of a run whose corpus is not here (`prism eval run.txt --qrels "
            "qrels.tsv`): TREC's four columns or BEIR's three. No model is asked.",
            show_default=False,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the beir-qa sets; missing sets are downloaded to it. Default: the "
            "user's cache.",
            show_default=False,
        ),
    ] = None,
    only_sets: Annotated[
        str | None,
        typer.Option(
            "--sets", help="Some sets of beir-qa, with commas: nfcorpus,fiqa.", show_default=False
        ),
    ] = None,
    *,
    given: dict[str, object],
    common: EvalCommon,
) -> None:
    """Measure a first stage and models on BEIR folders; paired tests, intervals, TREC runs.

    Subcommands: `eval quality ROWS` (evidence), `eval answers ROWS` (a reader's answers from it),
    `eval labels ROWS` (votes).

    With --limit N: the first N queries of each set, in file order, that have judgements.
    """
    from prism_cli.commands.wiring import check_model
    from prism_cli.errors import PrerequisiteError
    from prism_cli.evaluation.metrics_file import typed_command
    from prism_cli.evaluation.ranking.evaluate import evaluate as run_evaluation
    from prism_cli.evaluation.ranking.plan import EvalOptions
    from prism_cli.terminal import print_json

    if qrels is not None:
        given |= _of_a_run(folders, given, only_sets, data_dir)
    config, judged = _resolved(given, common, qrels)
    check_fusion(config)
    for name in config.models:
        check_model("reranker", name)
    if not common.quiet:
        _tell(_model_line(config, named="model" in given))
    if common.output is not None:
        check_folder_name(common.output)
    output = common.output or _default_output([*folders, *([str(qrels)] if qrels else [])], config)
    if judged is not None:
        sets, missing = [judged], dict[str, str]()
    else:
        found, missing = find_sets(folders, only_sets, data_dir, config, common)
        sets = [_with_first_stage(one, config, output, trust_remote_code) for one in found]
    summary = run_evaluation(
        sets,
        [_eval_model(name, config, quiet=common.quiet) for name in config.models],
        EvalOptions(
            output=output,
            split=config.split,
            top_k=config.top_k,
            limit=common.limit,
            seed=config.seed,
            config=recorded(config)
            | ({"trust_remote_code": trust_remote_code} if trust_remote_code else {}),
            command=typed_command(sys.argv),
            missing=missing,
            overwrite=common.overwrite or common.fresh,
            fresh=common.fresh,
            accept_lost_replies=common.accept_lost_replies,
            quiet=common.quiet,
            max_seconds=common.max_seconds,
            fuse=config.fuse,
            fit_fusion=config.fit_fusion,
            fit_on=config.fit_on,
            tell=(lambda _line: None) if common.quiet else _tell,
        ),
    )
    if common.json:
        print_json(summary.metrics)
    elif not common.quiet:
        print_tables(summary)
    if not common.quiet:
        print_report_path(summary.path, finished_before=summary.finished_before)
    if missing:
        raise PrerequisiteError(
            f"measured {len(sets)} of the {counted(len(sets) + len(missing), 'set')} asked for; "
            f"missing: {', '.join(missing)}. Unpack them into {data_folder(data_dir)} and run the "
            "same command again, which goes on with them, or name fewer with --sets"
        )


def _of_a_run(
    folders: list[str],
    typed: Mapping[str, object],
    only_sets: str | None,
    data_dir: Path | None,
) -> dict[str, list[str] | str]:
    """Return the settings of an evaluation of a run file against qrels.

    Raises:
        UsageError: several runs, a model, or an option that needs a data set.
    """
    from prism_cli.errors import UsageError

    of_sets = {"--sets": only_sets, "--data-dir": data_dir}
    of_data_sets = {
        f"--{name.replace('_', '-')}": typed.get(name) for name in ("first_stage", "split")
    }
    if wrong := [name for name, value in (of_data_sets | of_sets).items() if value is not None]:
        raise UsageError(f"{', '.join(wrong)}: needs a data set, and --qrels is without one")
    if typed.get("model") not in (None, ["none"]):
        raise UsageError(
            "--model: a model reads texts, and a run with --qrels has none; give the BEIR folder "
            f"and --first-stage {folders[0]}"
        )
    if len(folders) > 1:
        raise UsageError(
            f"--qrels: expected one run file, found {len(folders)}; measure them apart and "
            "compare them with prism report DIR DIR -o compared.html"
        )
    return {"model": ["none"], "first_stage": folders[0]}


def _resolved(
    given: dict[str, object], common: Common, qrels: Path | None
) -> "tuple[EvalConfig, EvalSet | None]":
    """Return the settings, and the run to measure: its whole depth unless top_k is set."""
    from prism_cli.commands.wiring import judged_run
    from prism_cli.configs.load import load_with_origins

    config, origins = load_with_origins(
        EvalConfig, "eval", recipe=common.recipe, flags=given, sets=common.sets
    )
    if qrels is None:
        return config, None
    judged, depth = judged_run(Path(config.first_stage), qrels)
    top_k = config.top_k if "top_k" in origins else max(config.top_k, depth())
    return replace(config, top_k=top_k), judged


def _tell(line: str) -> None:
    print(escape_invisible(line), file=sys.stderr, flush=True)


def _model_line(config: EvalConfig, *, named: bool) -> str:
    from prism_cli.configs.eval import RELEASED_MODEL

    if not config.models:
        return "no model: the first stage alone"
    origin = "settings (prism.toml, --recipe or PRISM_MODEL)"
    if named:
        origin = "--model"
    elif config.model == [RELEASED_MODEL]:
        origin = "the default: the released 2B; another with --model"
    return f"model: {', '.join(config.models)} (from {origin})"


def _default_output(sets: list[str], config: EvalConfig) -> Path:
    from prism_cli.evaluation.metrics_file import default_folder

    names = "+".join(Path(os.path.abspath(name)).name for name in sets)
    models = "+".join(config.models) or "none"
    return default_folder(f"{names}-{models}", 120)


def _with_first_stage(
    data: "BeirSet", config: EvalConfig, output: Path, trusted: str | None
) -> "EvalSet":
    from prism_cli.commands.wiring import eval_first_stage
    from prism_cli.evaluation.ranking.plan import EvalSet

    return EvalSet(data, eval_first_stage(data, config, output, trusted))


def _eval_model(name: str, config: EvalConfig, *, quiet: bool) -> "EvalModel":
    from prism_cli.commands.wiring import canary, eval_reranker
    from prism_cli.engine.progress_display import announce_load
    from prism_cli.evaluation.ranking.plan import EvalModel
    from prism_cli.evaluation.ranking.reranking import MakeRequest

    identity, reranker, own_fuse = eval_reranker(name, config)
    decided = config.fuse is not None or config.fit_fusion

    def load() -> MakeRequest:
        announce_load(name, quiet=quiet)
        loaded = reranker()
        if warning := canary(loaded.runtime)[1]:
            _tell(f"prism: warning: {warning}")
        return loaded.request

    return EvalModel(name, identity, load, None if decided else own_fuse)
