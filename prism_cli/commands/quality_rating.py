"""Ratings in `prism eval quality`: the judge, and sheets for people to fill in."""

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.commands.options import Paid
    from prism_cli.configs.eval_quality import EvalQualityConfig
    from prism_cli.evaluation.quality.filled_sheets import FilledSheet
    from prism_cli.ports import BatchBackend, CallBackend

_STDIN = "-"


@dataclass(frozen=True)
class RatingPlan:
    """Judge and sheets of an evaluation.

    Attributes:
        rate: for the stage.
        judge_figures: what metrics.json says of the judge.
        extra_config: what decides the ratings besides the config.
    """

    judge: "BatchBackend | CallBackend | None" = None
    rate: Callable[[Any], Generator[Any, Any, Mapping[str, Any]]] | None = None
    judge_figures: Mapping[str, str | None] = field(default_factory=dict)
    extra_config: Mapping[str, object] = field(default_factory=dict)
    sheets: "Sequence[FilledSheet]" = ()


def rating_plan(
    inputs: list[str], common: "Paid", config: "EvalQualityConfig", filled: Sequence[str]
) -> RatingPlan:
    """Return the judge, after checking that it did not label the rows.

    Raises:
        UsageError: it is one of them, a sheet without a judge, or cells that are no answer.
        MissingDataError, PrerequisiteError, ModelError: something is not there.
    """
    from prism_cli.commands import paid_wiring
    from prism_cli.domain.rating_task import TEMPLATE
    from prism_cli.errors import UsageError
    from prism_cli.evaluation.quality.filled_sheets import read_sheets
    from prism_cli.evaluation.quality.same_judge import find_labeller, find_same_judge
    from prism_cli.stages.rating import rating_function

    if config.judge is None:
        if filled:
            raise UsageError("--sheet-in compares people with a judge; name it with --judge")
        return RatingPlan()
    sheets = read_sheets(filled)
    judge = paid_wiring.rater(config.judge, paid_wiring.catalog(common), device=config.device)
    find = find_labeller if config.allow_same_judge else find_same_judge
    member = find(config.judge, inputs, common.field_names, config.texts)
    if member and not config.allow_same_judge:
        raise UsageError(
            f"--judge {config.judge}: it labelled these rows or wrote their texts ({member}) and "
            "would mark its own work; name a model that did neither, or --allow-same-judge, and "
            "the report says so. Nothing was asked"
        )
    judge_figures = {"spec": config.judge, "in_panel": member}
    return RatingPlan(
        judge, rating_function(judge), judge_figures, {"rating_hash": TEMPLATE}, sheets
    )


def write_sheet(
    path: Path, count: int, inputs: list[str], common: "Paid", config: "EvalQualityConfig"
) -> None:
    """Draw the sheet, unless it is there: somebody may have filled it in.

    Raises:
        UsageError: no file's name, or rows from standard input.
        MissingDataError: no row has texts.
    """
    from prism_cli.errors import UsageError
    from prism_cli.evaluation.quality.sheet import SheetSource, sample_sheet
    from prism_cli.shards.reader import find_shards

    if path == Path(_STDIN) or path.is_dir():
        raise UsageError(f"--sheet {path}: expected the name of a file, such as sheet.csv")
    if _STDIN in inputs:
        raise UsageError("--sheet with rows from standard input: they are read twice; give a file")
    if path.exists():
        message = "is there already and stays as it is"
    else:
        rows = SheetSource(find_shards(inputs), config.texts, common.field_names, common.limit)
        drawn = sample_sheet(path, rows, count=count, seed=config.seed)
        message = f"{counted(drawn.rows, 'row')} of {drawn.population:,}; how to fill it in: "
        message += f"{path.stem}.guide.txt"
        if drawn.cut:
            cells = counted(drawn.cut, "cell holds", "cells hold")
            message += f"; {cells} a part of their text only"
    if not common.quiet:
        print(f"{path}: {message}", file=sys.stderr)
