"""`prism` with one more command, `score`: the engine behind the real CLI, on a fake backend.

python tests/stage_runner.py score IN… [-o OUT] --kind batch|panel|calls --log FILE [--seconds S] …
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from prism_cli import app as door
from prism_cli.commands.options import Inputs, with_common
from prism_cli.commands.row_run import run_row_stage
from prism_cli.commands.spreading import SpreadCommon
from prism_cli.configs.base import StageConfig
from prism_cli.configs.load import load_config
from prism_cli.engine.stage_spec import StageSpec
from prism_cli.errors import PrerequisiteError, ProviderError
from tests.fakes import EchoStage, ScoreStage, ScriptedCalls, batch_stage, panel_stage

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(StageConfig):
    """Settings of the fake stage."""

    scale: float = 1.0


@app.command()
@with_common
def score(
    inputs: Inputs,
    common: SpreadCommon,
    kind: str = "batch",
    log: Path | None = None,
    seconds: float = 0.0,
    batch_rows: int = 8,
    concurrency: int = 4,
    fail: Annotated[str, typer.Option(help="A word in documents whose calls fail.")] = "",
    down: bool = False,
    bug: bool = False,
    ready: Path | None = None,
    hold: Annotated[Path | None, typer.Option(help="Wait for it before a batch.")] = None,
    held_batch: int = 2,
    no_lock: Annotated[bool, typer.Option(help="As on a file system without locks.")] = False,
) -> None:
    """Score rows by a fake backend."""
    config = load_config(ScoreConfig, "score", recipe=common.recipe, sets=common.sets)
    if bug:
        raise ZeroDivisionError("on purpose")
    if kind == "echo":
        run_row_stage(EchoStage(), inputs, common, config)
        return
    if ready:
        ready.touch()
    if kind == "panel":
        spec = StageSpec.of(panel_stage, log, hold, held_batch)
        run_row_stage(spec.build(), inputs, common, config, spec=spec)
        return
    if kind == "batch":
        spec = StageSpec.of(batch_stage, batch_rows, seconds, log, hold, no_lock)
        run_row_stage(spec.build(), inputs, common, config, spec=spec)
        return
    backend = ScriptedCalls(concurrency, seconds, log=log)
    if fail or down:

        class Failing(dict[str, list[Exception]]):
            def get(self, text, default=None):  # type: ignore[no-untyped-def,override]
                if down:
                    return [PrerequisiteError("fake/calls: 401, the key is refused")]
                return [ProviderError("fake/calls: 503")] if fail in text else default

        backend.script = Failing()
    run_row_stage(ScoreStage(backend), inputs, common, config)


if __name__ == "__main__":
    module = ModuleType("prism_cli.commands.score")
    module.app = app  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    door.COMMANDS["score"] = ("score", "Score rows by a fake.")
    door.main()
