"""The data sets that `prism eval` is asked for: which are there, which are missing."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prism_cli.commands.eval_tables import print_plan
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
    """Those that are there, and why the others are missing."""
    from prism_cli.adapters.datasets import beir_qa
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.errors import PrerequisiteError, UsageError

    if BEIR_QA not in names and (only is not None or data_dir is not None):
        raise UsageError("--sets and --data-dir choose among the sets of beir-qa; name beir-qa")
    wanted = [one.strip() for one in (only or "").split(",") if one.strip()]
    if only is not None and not wanted:
        raise UsageError(f"--sets {only!r}: names no set; leave it out for all nine")
    nine = beir_qa.chosen_sets(wanted)
    place = data_folder(data_dir)
    folders = [BeirSet(Path(name)) for name in names if name != BEIR_QA]
    chosen = nine if BEIR_QA in names else []
    here = folders + [
        beir_qa.local_set(one, place) for one in chosen if beir_qa.is_local(one, place)
    ]
    plan = [
        {
            "set": str(one.name),
            "queries": len(one.judged_queries(config.split, common.limit)),
            "download": "-",
            "tokens": _tokens_of(one),
        }
        for one in here
    ]
    plan += [
        {
            "set": str(one.name),
            "queries": min(one.queries, common.limit or one.queries),
            "download": f"missing: about {one.megabytes} MB to fetch",
            "tokens": beir_qa.PAIR_TOKENS,
        }
        for one in chosen
        if not beir_qa.is_local(one, place)
    ]
    double = {str(one["set"]) for one in plan if sum(one["set"] == two["set"] for two in plan) > 1}
    if double:
        raise UsageError(
            f"{', '.join(sorted(double))}: two sets of one name; metrics.json names sets by "
            "their folders, so measure them apart"
        )
    if not common.quiet:
        print_plan(plan, config)

    def tell(line: str) -> None:
        if not common.quiet:
            print(wrapped(f"prism: {line}", sys.stderr), file=sys.stderr, flush=True)

    fetched, missing = beir_qa.obtain(chosen, place, tell)
    for name, why in missing.items():
        warning = wrapped(f"prism: warning: {name}: missing; {why}", sys.stderr)
        print(warning, file=sys.stderr, flush=True)
    if not folders and not fetched:
        raise PrerequisiteError(
            f"none of the {counted(len(missing), 'set')} asked for is in {place}, and none can be "
            "fetched; unpack them there, or name the folder that holds them with --data-dir"
        )
    return folders + fetched, missing


def data_folder(given: Path | None) -> Path:
    """Return the folder of the beir-qa sets."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return given or cache / "prism"


def _tokens_of(one: "BeirSet") -> int:
    from prism_cli.evaluation.ranking.estimate import pair_tokens

    return pair_tokens(one.texts())
