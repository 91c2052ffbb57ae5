"""`prism distill`: teachers' scores, and contribution and evidence from a generator."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import Common, Inputs, Paid, with_common
from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.configs.distill import DistillConfig
    from prism_cli.domain.calibration import Calibration

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism distill pairs.jsonl -o scored.jsonl --teacher st:minilm",
)


@app.command()
@with_common
def distill(
    inputs: Inputs,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            help="provider/model of a reranker API; st:minilm, st:PATH, st:HUB_ID (bi-encoder or "
            "cross-encoder); source, the row's own label as 1 or 0 (source:2: 1 from grade 2); "
            "repeat it for the mean over several.",
            show_default=False,
        ),
    ] = None,
    calibration_exponent: Annotated[
        float | None,
        typer.Option(
            help="teacher_score = mean ** this. Default: what is known for exactly these "
            "teachers, else 1.0.",
            show_default=False,
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Rows with verdicts and scores of these teachers: fit the exponent, so that "
            "0.5 tells yes from no best.",
            show_default=False,
        ),
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(
            help="Who writes contribution and evidence of rows with the verdict yes: "
            "provider/model of a chat model, hf:PATH, extractive, the document's sentences closest "
            "to the query, or source, the corpus's own texts.",
            show_default=False,
        ),
    ] = None,
    max_sentences: Annotated[
        int | None,
        typer.Option(
            min=1, max=50, help="Sentences of extractive evidence; default 2.", show_default=False
        ),
    ] = None,
    min_fidelity: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Least share of the evidence's numbers and names that stand in the document; "
            "below it another answer is asked for.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto (default), cpu, cuda, cuda:1.", show_default=False)
    ] = None,
    *,
    common: Paid,
) -> None:
    """Score rows by teachers, write texts by a generator, or both.

    Scores and texts that a row has already are kept. teacher_score is the calibrated mean over
    the teachers named here.
    """
    from prism_cli.commands import paid_wiring, reuse_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.distill import DistillConfig
    from prism_cli.configs.load import load_config
    from prism_cli.domain.evidence_task import EvidenceTask
    from prism_cli.errors import UsageError
    from prism_cli.stages.distill import DistillStage

    flags = {
        "teachers": teacher or None,
        "calibration_exponent": calibration_exponent,
        "calibrate": None if calibrate is None else str(calibrate),
        "generator": generator,
        "max_sentences": max_sentences,
        "min_fidelity": min_fidelity,
        "device": device,
        "seed": common.seed,
    }
    config = load_config(
        DistillConfig, "distill", recipe=common.recipe, flags=flags, sets=common.sets
    )
    if not config.teachers and config.generator is None:
        raise UsageError(
            "nothing to do: give --teacher SPEC (such as st:minilm) for scores, --generator SPEC "
            "(such as extractive) for contribution and evidence, or both"
        )
    providers = paid_wiring.catalog(common)
    teachers = paid_wiring.teachers(config.teachers, providers, device=config.device)
    writer = config.generator and paid_wiring.generator(
        config.generator, providers, max_sentences=config.max_sentences, device=config.device
    )
    figures: dict[str, object] = {}
    calibration = None
    if teachers:
        calibration = _calibration(config, common)
        figures["calibration"] = {
            "exponent": calibration.exponent,
            "raw boundary": round(calibration.raw_boundary, 6),
            "from": calibration.origin,
        }
        in_row = all(one.partition(":")[0] == "source" for one in config.teachers)
        if not calibration.known and not in_row and not common.quiet:
            print(
                f"prism: calibration exponent {calibration.exponent:g} for "
                f"{', '.join(config.teachers)}; {calibration.origin}. --calibrate ROWS fits one "
                "to verdicts, --calibration-exponent X sets it",
                file=sys.stderr,
            )
    stage = DistillStage(
        teachers,
        calibration,
        writer or None,
        figures=figures,
        paid=reuse_wiring.paid_rows(common),
        min_fidelity=config.min_fidelity,
    )
    dependencies = [Path(config.calibrate)] if config.calibrate else []
    dependencies += reuse_wiring.paid_files(common)
    # A resumed run must not mix the texts of two prompts.
    chats = config.generator not in (None, "extractive", "source")
    identity = {"evidence_prompt_hash": EvidenceTask.fingerprint} if chats else {}
    told: list[str] = []
    if calibration and calibration.known:
        told = [
            f"calibration: exponent {calibration.exponent:.4g}, raw boundary "
            f"{calibration.raw_boundary:.4g}, {calibration.origin}"
        ]
    run_row_stage(
        stage,
        inputs,
        common,
        config,
        dependencies=dependencies,
        identity=identity,
        draw=lambda _: {"calibration": told},
    )


def _calibration(config: "DistillConfig", common: Common) -> "Calibration":
    """The exponent of these teachers: given, fitted, or what is known of them.

    Raises:
        MissingDataError: --calibrate names no file, or its rows tell no boundary.
    """
    from prism_cli.domain.calibration import (
        Calibration,
        UnfitRowsError,
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
    except UnfitRowsError as error:
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
