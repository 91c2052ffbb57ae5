"""`prism relabel`: a panel of judges says yes or no to every row."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import Inputs, Paid
from prism_cli.commands.settings import with_settings
from prism_cli.commands.spreading import SpreadPaid
from prism_cli.commands.unused_options import check_unused
from prism_cli.configs.relabel import RelabelConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prism_cli.domain.learned_rule import AuditRow
    from prism_cli.domain.rubric import JudgeTask
    from prism_cli.stages.relabel import RelabelStage

OF_POSTERIOR = ("risk", "prior", "audit_from")
"""Settings of --stop posterior."""

app = typer.Typer(
    add_completion=False,
    help="Have a panel of judges say yes or no to every row.",
    epilog="Example: prism relabel pairs.jsonl -o labelled.jsonl --judge source. With fewer votes: "
    "prism relabel pairs.jsonl -o labelled.jsonl --stop posterior --risk 0.01",
)


@app.command()
@with_settings(RelabelConfig, "relabel")
def relabel(
    inputs: Inputs,
    panel: Annotated[
        str | None,
        typer.Option(
            help="A panel by name: a shipped recipe of relabel, such as openrouter (the paper's "
            "five on one key).",
            show_default=False,
        ),
    ] = None,
    *,
    given: dict[str, object],
    common: SpreadPaid,
) -> None:
    """Write votes, votes_cast, verdict (more than half of the panel's size) and agreement."""
    from prism_cli.commands import reuse_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_config
    from prism_cli.engine.stage_spec import StageSpec
    from prism_cli.errors import UsageError

    if panel and ("judges" in given or common.recipe):
        raise UsageError("--panel cannot be combined with --judge or --recipe; give one of them")
    if "add_judges" in given and "judges" not in given:
        given["judges"] = _panel_before(inputs)
    config = load_config(
        RelabelConfig, "relabel", recipe=panel or common.recipe, flags=given, sets=common.sets
    )
    if config.stop != "posterior":
        check_unused(
            OF_POSTERIOR,
            config,
            given,
            common.sets,
            refusal="is a part of --stop posterior; give that too",
            note="--stop posterior is off",
        )
    stage = relabel_stage(config, common)
    run_row_stage(
        stage,
        inputs,
        common,
        config,
        dependencies=[*reuse_wiring.paid_files(common), *map(Path, config.audit_from)],
        extra_config={"rubric_hash": _task(config).fingerprint, **_prices(stage)},
        spec=StageSpec.of(relabel_stage, config, common),
    )


def relabel_stage(config: RelabelConfig, common: Paid) -> "RelabelStage":
    """Return the stage with its panel.

    Raises:
        UsageError: --vote soft with a judge that gives no probability.
    """
    from prism_cli.commands import paid_wiring, reuse_wiring
    from prism_cli.errors import UsageError
    from prism_cli.stages.relabel import RelabelStage

    pack = None if config.pack_questions == "auto" else config.pack_questions
    panel_specs = (*config.judges, *config.add_judges)
    judges = paid_wiring.judges(panel_specs, _task(config), paid_wiring.catalog(common), pack)
    without = [judge.spec for judge in judges if not getattr(judge, "gives_probability", False)]
    if config.vote == "soft" and without:
        raise UsageError(
            f"--vote soft: {', '.join(without)} gives no probability, only yes or no; ask judges "
            "whose provider speaks openai-decisions or systemone, or leave it at --vote majority"
        )
    stopping, note = None, ""
    if config.stop == "posterior":
        from prism_cli.domain.voting import PANEL_AGREEMENT
        from prism_cli.stages.panel_stopping import PanelStopping

        stopping = PanelStopping(
            panel_specs,
            paid_wiring.relative_prices(judges),
            risk=config.risk,
            audit=config.audit,
            seed=config.seed,
            teacher=config.prior == "teacher",
            earlier=_earlier_audit_rows(config, panel_specs, common),
        )
        if not config.audit_from:
            note = (
                f"--stop posterior: assumed are judges that are right in {PANEL_AGREEMENT:g} of "
                "the rows. Better ones need fewer calls: label a pilot with --audit 1 and name its "
                "output with --audit-from, for a forecast by their own votes"
            )
    stage = RelabelStage(
        judges,
        audit=config.audit,
        seed=config.seed,
        soft=config.vote == "soft",
        added=config.add_judges,
        paid=reuse_wiring.paid_rows(common),
        stopping=stopping,
    )
    stage.forecast_note = note
    return stage


def _earlier_audit_rows(
    config: RelabelConfig, judges: "Sequence[str]", common: Paid
) -> "dict[int, AuditRow]":
    """Return the audit rows of --audit-from.

    Raises:
        MissingDataError: no such file, a bad row, or no audit row of all judges.
    """
    from prism_cli.errors import MissingDataError
    from prism_cli.rows.row import Rejected
    from prism_cli.shards.reader import read_rows
    from prism_cli.stages.panel_stopping import audit_rows, check_audit_row

    def refuse(bad: Rejected) -> None:
        raise MissingDataError(
            f"--audit-from {bad.ref}: {bad.field or 'row'}: {bad.reason}; nothing was asked. Give "
            "an output of `prism relabel`"
        )

    if not config.audit_from:
        return {}
    rows, missing = audit_rows(
        (
            (row, panel)
            for name in config.audit_from
            for panel in [_panel_of_manifest(name)]
            for _, row in read_rows(
                [name], fields=common.field_names, check=check_audit_row, on_reject=refuse
            )
        ),
        judges,
        config.seed,
    )
    if not rows:
        lacks = "; ".join(f"{spec} was not asked on {n:,}" for spec, n in missing.most_common())
        raise MissingDataError(
            f"--audit-from {', '.join(config.audit_from)}: expected audit rows on which all judges "
            f"of this panel were asked, found none ({lacks or 'no audit row at all'}); nothing was "
            "asked. Name an output of `prism relabel` by the same judges"
        )
    return rows


def _prices(stage: "RelabelStage") -> dict[str, object]:
    """Return the prices that the order of judges depends on, for the manifest."""
    return {"prices": list(stage.stopping.prices)} if stage.stopping else {}


def _task(config: RelabelConfig) -> "JudgeTask":
    from prism_cli.commands import paid_wiring

    return paid_wiring.judge_task(_rubric(config))


def _rubric(config: RelabelConfig) -> str | None:
    """Return the text of --rubric; None without it. Raises MissingDataError."""
    from prism_cli.errors import MissingDataError
    from prism_cli.files.text import read_text

    if config.rubric is None:
        return None
    text = read_text(Path(config.rubric))
    if not text.strip():
        raise MissingDataError(f"{config.rubric}: the rubric is empty")
    return text


def _panel_before(inputs: list[str]) -> tuple[str, ...]:
    """Return the judges of the input: from its manifest, else from the votes of its first row.

    Raises:
        MissingDataError: there are no votes.
    """
    from prism_cli.errors import MissingDataError
    from prism_cli.shards.reader import read_rows

    for name in inputs:
        if panel := _panel_of_manifest(name):
            return panel
    for _, row in read_rows(inputs) if "-" not in inputs else ():
        if isinstance(row.get("votes"), dict) and row["votes"]:
            return tuple(row["votes"])
    raise MissingDataError(
        f"{', '.join(inputs)}: rows have no votes, so there is no panel to add a judge to; "
        "name the panel with --judge"
    )


def _panel_of_manifest(name: str) -> tuple[str, ...]:
    """Return the judges that made a file or folder, by its manifest; () where it has none."""
    from prism_cli.shards.manifest import manifest_path, read_manifest

    manifest = read_manifest(manifest_path(Path(name))) if name != "-" else None
    if not manifest or manifest["stage"] != "relabel":
        return ()
    return (*manifest["config"]["judges"], *manifest["config"].get("add_judges", ()))
