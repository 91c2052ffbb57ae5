"""`prism distill`: teachers' scores, and contribution and evidence from a generator."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prism_cli.commands.options import Common, Inputs, Paid
from prism_cli.commands.settings import with_settings
from prism_cli.commands.spreading import SpreadPaid
from prism_cli.configs.distill import DistillConfig
from prism_cli.domain.defaults import KEYLESS_JUDGES
from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.domain.calibration import Calibration
    from prism_cli.stages.distill import DistillStage

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism distill pairs.jsonl -o scored.jsonl --teacher st:minilm",
)


@app.command()
@with_settings(DistillConfig, "distill")
def distill(inputs: Inputs, *, config: DistillConfig, common: SpreadPaid) -> None:
    """Score rows by teachers, write texts by a generator, or both.

    Scores and texts that a row has already are kept. teacher_score is the calibrated mean over
    the teachers named here.
    """
    from prism_cli.commands import reuse_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.domain.evidence_task import EvidenceTask
    from prism_cli.engine.stage_spec import StageSpec
    from prism_cli.errors import UsageError

    if not config.teachers and config.generator is None:
        raise UsageError(
            "nothing to do: give --teacher SPEC (such as st:minilm) for scores, --generator SPEC "
            "(such as extractive) for contribution and evidence, or both"
        )
    calibration = _calibration(config, common) if config.teachers else None
    stage = distill_stage(config, common, calibration)
    if calibration and not common.quiet:
        _print_default_exponent(config, calibration)
    dependencies = [Path(config.calibrate)] if config.calibrate else []
    dependencies += reuse_wiring.paid_files(common)
    # A resumed run must not mix the texts of two prompts.
    chats = config.generator not in (None, "extractive", "source")
    extra_config = {"evidence_prompt_hash": EvidenceTask.fingerprint} if chats else {}
    lines: list[str] = []
    if calibration and calibration.known:
        lines = [
            f"calibration: exponent {calibration.exponent:.4g}, raw boundary "
            f"{calibration.raw_boundary:.4g}, {calibration.origin}"
        ]
    run_row_stage(
        stage,
        inputs,
        common,
        config,
        dependencies=dependencies,
        extra_config=extra_config,
        extra_lines=lambda _: {"calibration": lines},
        closing=lambda: [_NO_VERDICTS] if stage.has_verdicts is False else [],
        spec=StageSpec.of(distill_stage, config, common, calibration),
    )


def distill_stage(
    config: DistillConfig, common: Paid, calibration: "Calibration | None"
) -> "DistillStage":
    """Return the stage with its teachers and its generator."""
    from prism_cli.commands import paid_wiring, reuse_wiring
    from prism_cli.stages.distill import DistillStage

    providers = paid_wiring.catalog(common)
    teachers = paid_wiring.teachers(config.teachers, providers, device=config.device)
    writer = config.generator and paid_wiring.generator(
        config.generator, providers, max_sentences=config.max_sentences, device=config.device
    )
    figures: dict[str, object] = {}
    if calibration:
        figures["calibration"] = {
            "exponent": calibration.exponent,
            "raw boundary": round(calibration.raw_boundary, 6),
            "from": calibration.origin,
        }
    return DistillStage(
        teachers,
        calibration,
        writer or None,
        figures=figures,
        paid=reuse_wiring.paid_rows(common),
        min_fidelity=config.min_fidelity,
    )


_NO_VERDICTS = (
    "no row has a verdict, and texts are written for the verdict yes only. Next: "
    f"prism relabel ROWS -o judged.jsonl {KEYLESS_JUDGES}, which need no key; or --judge source, "
    "which takes the rows' own source_label"
)


def _print_default_exponent(config: DistillConfig, calibration: "Calibration") -> None:
    """Say that the exponent is a default, unless the scores are the rows' own labels."""
    in_row = all(teacher.partition(":")[0] == "source" for teacher in config.teachers)
    if not calibration.known and not in_row:
        print(
            f"prism: calibration exponent {calibration.exponent:g} for "
            f"{', '.join(config.teachers)}; {calibration.origin}. --calibrate ROWS fits one "
            "to verdicts, --calibration-exponent X sets it",
            file=sys.stderr,
        )


def _calibration(config: DistillConfig, common: Common) -> "Calibration":
    """Return the exponent of these teachers: set by an option, fitted, or the shipped one.

    Raises:
        MissingDataError: --calibrate names no file, or its rows have no boundary.
    """
    from prism_cli.domain.calibration import (
        Calibration,
        NoBoundaryError,
        default_calibration,
        fitted_boundary,
        labelled_scores,
    )
    from prism_cli.errors import MissingDataError
    from prism_cli.shards.reader import read_rows

    if config.calibration_exponent is not None:
        return Calibration(config.calibration_exponent, "given by --calibration-exponent")
    if config.calibrate is None:
        return default_calibration(config.teachers)
    broken: list[object] = []
    read = read_rows([config.calibrate], fields=common.field_names, on_reject=broken.append)
    labelled, passed = labelled_scores((row for _, row in read), config.teachers)
    if broken:
        passed["something that is no row"] = len(broken)
    try:
        boundary = fitted_boundary(labelled)
    except NoBoundaryError as error:
        others = ", ".join(
            f"{counted(number, 'row')} with {reason}" for reason, number in passed.items()
        )
        raise MissingDataError(
            f"{config.calibrate}: no exponent can be fitted for {', '.join(config.teachers)}: "
            f"{error}" + (f" (besides {others})" if others else "") + ". It needs rows with a "
            "verdict (prism relabel) and teacher_scores of each teacher (prism distill --teacher)"
        ) from error
    return Calibration(
        boundary.exponent,
        f"fitted on {config.calibrate}: {boundary.yes} yes, {boundary.no} no, balanced accuracy "
        f"{boundary.balanced_accuracy:.3f}",
    )
