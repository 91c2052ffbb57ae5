"""Data sets of `prism eval`: existing, fetched and missing ones."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prism_cli.commands.eval_tables import FIT_COLUMN, print_plan
from prism_cli.commands.options import Common
from prism_cli.wording import counted, wrapped

if TYPE_CHECKING:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.configs.eval import EvalConfig

BEIR_QA = "beir-qa"


def find_sets(
    names: list[str],
    only: str | None,
    data_dir: Path | None,
    config: "EvalConfig",
    common: Common,
) -> tuple[list["BeirSet"], dict[str, str]]:
    """Return the available sets, and the reasons why the others are missing, by name."""
    from prism_cli.adapters.datasets import beir_qa
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.errors import PrerequisiteError, UsageError

    if BEIR_QA not in names and (only is not None or data_dir is not None):
        raise UsageError("--sets and --data-dir choose among the sets of beir-qa; name beir-qa")
    set_names = [name.strip() for name in (only or "").split(",") if name.strip()]
    if only is not None and not set_names:
        raise UsageError(f"--sets {only!r}: names no set; leave it out for all nine")
    nine = beir_qa.chosen_sets(set_names)
    folder = data_folder(data_dir)
    folders = [BeirSet(Path(name)) for name in names if name != BEIR_QA]
    chosen = nine if BEIR_QA in names else []
    here = folders + [
        beir_qa.local_set(data, folder) for data in chosen if beir_qa.is_local(data, folder)
    ]
    plan = [_planned(data, config, common) for data in here]
    plan += [
        {
            "set": str(data.name),
            "queries": min(data.queries, common.limit or data.queries),
            **({FIT_COLUMN: 0} if config.fit_fusion else {}),
            "download": f"missing: about {data.megabytes} MB to fetch",
            "tokens": beir_qa.PAIR_TOKENS,
        }
        for data in chosen
        if not beir_qa.is_local(data, folder)
    ]
    names_of_sets = [str(row["set"]) for row in plan]
    repeated = {name for name in names_of_sets if names_of_sets.count(name) > 1}
    if repeated:
        raise UsageError(
            f"{', '.join(sorted(repeated))}: two sets of one name; metrics.json names sets by "
            "their folders, so measure them apart"
        )
    if not common.quiet:
        print_plan(plan, config)

    def say(line: str) -> None:
        if not common.quiet:
            print(wrapped(f"prism: {line}", sys.stderr), file=sys.stderr, flush=True)

    fetched, missing = beir_qa.obtain(chosen, folder, say)
    for name, why in missing.items():
        warning = wrapped(f"prism: warning: {name}: missing; {why}", sys.stderr)
        print(warning, file=sys.stderr, flush=True)
    if not folders and not fetched:
        raise PrerequisiteError(
            f"none of the {counted(len(missing), 'set')} asked for is in {folder}, and none can be "
            "fetched; unpack them there, or name the folder that holds them with --data-dir"
        )
    return folders + fetched, missing


def data_folder(folder: Path | None) -> Path:
    """Return the folder of the beir-qa sets."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return folder or cache / "prism"


def _planned(data: "BeirSet", config: "EvalConfig", common: Common) -> dict[str, Any]:
    """Return a local set's row of `print_plan`."""
    return {
        "set": str(data.name),
        "queries": len(data.judged_queries(config.split, common.limit)),
        **_fit_column(data, config, common),
        "download": "-",
        "tokens": _tokens_of(data),
    }


def check_fusion(config: "EvalConfig") -> None:
    """Check the options of fusion.

    Raises:
        UsageError: they contradict each other, or there is no model to fuse.
    """
    from prism_cli.errors import UsageError

    if config.fit_on is not None and not config.fit_fusion:
        raise UsageError("--fit-on: says where --fit-fusion takes queries from; add --fit-fusion")
    if config.fit_fusion and config.fuse is not None:
        raise UsageError("--fit-fusion finds the W of --fuse; leave out one of the two")
    if (config.fit_fusion or config.fuse is not None) and not config.models:
        option = "--fit-fusion" if config.fit_fusion else "--fuse"
        raise UsageError(f"{option}: fuses a model with the first stage; name one with --model")


def _fit_column(data: "BeirSet", config: "EvalConfig", common: Common) -> dict[str, int]:
    """Return the number of queries beside the reported ones that models score for the fit.

    Raises:
        UsageError: there are too few queries to fit on.
    """
    from prism_cli.evaluation.ranking.figures import JudgedSet
    from prism_cli.evaluation.ranking.fusion import fit_queries, fit_source

    if not config.fit_fusion:
        return {}
    source = fit_source(data.splits, config.split, config.fit_on)
    reported = data.judged_queries(config.split, common.limit)
    judged = JudgedSet(data, reported, data.qrels(config.split))
    chosen = fit_queries(judged, source, config.seed, common.limit)
    return {FIT_COLUMN: 0 if isinstance(source, float) else len(chosen.queries)}


def _tokens_of(data: "BeirSet") -> int:
    from prism_cli.evaluation.ranking.estimate import pair_tokens

    return pair_tokens(data.texts())
