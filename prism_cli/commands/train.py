"""`prism train`: rows to a reranker."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.commands.field_names import check_inputs
from prism_cli.commands.options import Common, output_option
from prism_cli.commands.settings import with_settings
from prism_cli.configs.train import TrainConfig
from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.engine.control import Control
    from prism_cli.training.request import Bar, TrainRequest

app = typer.Typer(
    add_completion=False,
    help="Train a reranker on pointwise and sft objectives.",
    epilog="Example: prism train train.jsonl -o runs/tiny --size tiny --dev dev.jsonl",
)
DEFAULT_DATA = "data/train.jsonl"


@dataclass
class TrainCommon(Common):
    """Shared options, the output being a run directory."""

    output: Annotated[
        Path | None, output_option("Run directory; default runs/ and the recipe's name.")
    ] = None


@app.command()
@with_settings(TrainConfig, "train")
def train(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Rows with scores and labels: JSONL files, globs, directories; default "
            f"{DEFAULT_DATA}.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="A shipped recipe: tiny, 0.8b, 2b, 2b-mixed, 4b, 9b, …")
    ] = None,
    dev: Annotated[
        list[str] | None,
        typer.Option(help="Rows to measure on, such as split's dev.jsonl; picks RUN/best."),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(
            metavar="auto|never|PATH",
            help="auto: go on from the newest complete checkpoint of an unfinished run. never: "
            "from the first step; refused if -o is not empty, unless --overwrite replaces "
            "it. PATH: from that checkpoint of this run; later ones are removed.",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; train and write nothing.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    *,
    given: dict[str, object],
    common: TrainCommon,
) -> None:
    """Train a reranker; after a kill, the same command continues from the newest checkpoint.

    Before the first step it shows its plan: rows, lengths, steps, tokens, memory.
    """
    from prism_cli.engine.control import Control
    from prism_cli.engine.heartbeat import remove_heartbeat
    from prism_cli.engine.rejects import too_many_rejects
    from prism_cli.errors import REJECTS_EXIT_CODE
    from prism_cli.terminal import count, print_json

    speaks = os.environ.get("RANK", "0") == "0"  # of several processes, one
    quiet = common.quiet or not speaks
    control = Control(common.max_seconds)
    with redirect_stdout(sys.stderr), _telling_other_processes(device, not dry_run):
        config, rows, run = _prepared(inputs or [], size, given, common)
        # transformers prints what it finds of wandb
        from prism_cli.training.preparing import plan_only
        from prism_cli.training.run import train as train_rows

        check_inputs(rows, common.field_names)
    request = replace(
        _request(config, rows, run, control, quiet=quiet, records_progress=speaks),
        dev=dev or [],
        fields=common.field_names,
        limit=common.limit,
        device=device,
        overwrite=common.overwrite,
        resume=resume,
    )
    with control.handle_signals():
        if dry_run:
            plan = plan_only(request)
            if common.json and speaks:
                print_json(plan)
            return
        done = train_rows(request)
    count(rows=done["counts"]["rows"], steps=done["figures"]["steps"])
    if speaks:
        remove_heartbeat(run)
    if not quiet:
        _print_summary(done)
    if common.json and speaks:
        print_json(done)
    counts = done["counts"]
    read = counts["rows"] + counts["rejected"] + sum(counts["dropped"].values())
    if too_many_rejects(counts["rejected"], read, common.max_rejects):
        raise typer.Exit(REJECTS_EXIT_CODE)


def _prepared(
    inputs: list[str], size: str | None, given: dict[str, object], common: Common
) -> tuple[TrainConfig, list[str], Path]:
    """Return settings, rows and run directory."""
    from prism_cli.commands.wiring import check_model
    from prism_cli.configs.load import load_config
    from prism_cli.errors import UsageError

    if size and common.recipe:
        raise UsageError(f"--size {size} and --recipe {common.recipe} both name a recipe; give one")
    config = load_config(
        TrainConfig, "train", recipe=common.recipe or size, flags=given, sets=common.sets
    )
    check_model("base", config.model)
    run = common.output or Path("runs") / _name(size or common.recipe or "train")
    return config, _data(inputs), run


@contextmanager
def _telling_other_processes(device: str, waiting: bool) -> Iterator[None]:
    """Tell an error of this process to the others, which would wait for it.

    Args:
        waiting: whether they do; a dry run needs no others.
    """
    from prism_cli.errors import PrismError

    try:
        yield
    except PrismError as error:
        if waiting and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from prism_cli.training.process_group import ProcessGroup

            ProcessGroup.of(device).report(error)
        raise


def _request(
    config: TrainConfig,
    rows: list[str],
    run: Path,
    control: "Control",
    *,
    quiet: bool,
    records_progress: bool,
) -> "TrainRequest":
    """Return a request that prints its plan, messages and progress on standard error."""
    from prism_cli.commands.train_plan import plan_lines
    from prism_cli.training.request import TrainRequest

    def say(text: str) -> None:
        if not quiet:
            print(f"prism train: {text}", file=sys.stderr)

    def show(label: str, total: int) -> "AbstractContextManager[Bar]":
        from prism_cli.engine.progress_display import show_progress

        return show_progress(
            label, total, quiet=quiet, record_path=run if records_progress else None
        )

    def show_plan(plan: dict[str, Any]) -> None:
        if not quiet:
            print("\n".join(plan_lines(plan, sys.stderr.encoding)), file=sys.stderr)

    return TrainRequest(config, rows, run, control, say, show, show_plan=show_plan)


_MODELS = (("dev", "last"), ("best", "best"))
"""Figures of a run, and the folder of the model that they are of."""


def _name(recipe: str) -> str:
    return Path(recipe).stem if recipe.endswith(".toml") else recipe.rpartition("/")[2]


def _data(inputs: list[str]) -> list[str]:
    from prism_cli.errors import MissingDataError

    if not inputs and not Path(DEFAULT_DATA).is_file():
        raise MissingDataError(
            f"{DEFAULT_DATA}: no such file, and no rows were named. "
            "Make it from labelled rows: prism split labelled.jsonl -o data"
        )
    return inputs or [DEFAULT_DATA]


def _print_summary(done: dict[str, Any]) -> None:
    from prism_cli.commands.train_plan import doubt_lines, unfit_lines
    from prism_cli.domain.dev_figures import figures_in_words

    counts, figures = done["counts"], done["figures"]
    lines = [
        f"{done['run']}: {counted(figures['steps'], 'step')}, {done['seconds']:.0f} s",
        f"rows: {counts['rows']} ({counts['pointwise']} with pointwise, {counts['sft']} with sft), "
        f"{counted(counts['truncated'], 'document')} cut, {counts['rejected']} rejected",
    ]
    lines += [f"dropped: {count} ({reason})" for reason, count in counts["dropped"].items()]
    lines += [f"trained on: {line}" for line in unfit_lines(figures["plan"])]
    for file, said in figures["decontamination"].items():
        clear = said and said["kept clear of"]
        lines.append(
            f"{file}: kept clear of {clear or 'no evaluation set (prism split does that)'}"
        )
    if ended := figures["plan"].get("ended_by_epochs"):
        lines.append(ended)
    if figures.get("stopped_by") == "stop_at_collapse":
        lines.append("stopped early: stop_at_collapse consecutive measurements showed a collapse")
    elif figures.get("stopped_early"):
        best = figures["best"]["step"]
        lines.append(f"stopped early: no measurement after step {best} was better")
    for name in ("dev", "best"):
        if name in figures:
            lines.append(f"{name}: {figures_in_words(figures[name])}")
    lines += doubt_lines(figures["plan"])
    collapsed = {folder: figures.get(name, {}).get("collapsed") for name, folder in _MODELS}
    if collapsed["last"] and collapsed["last"] == collapsed["best"]:
        lines.append(f"warning: {done['run']}/last and best: {collapsed['last']}")
    else:
        lines += [f"warning: {done['run']}/{line}: {why}" for line, why in collapsed.items() if why]
    print("\n".join(lines), file=sys.stderr)
