"""Plan of a training run as lines for a terminal."""

import math
from collections.abc import Mapping
from typing import Any

from prism_cli.commands.histogram import can_show
from prism_cli.wording import counted

_BAR = 40


def plan_lines(plan: Mapping[str, Any], encoding: str | None) -> list[str]:
    """Return the figures of `training/plan.py` as text, with a histogram of lengths."""
    rows, lengths, memory = plan["rows"], plan["lengths"], plan["memory_bytes"]
    draws, reasons = plan["draws"], [f"{rows['rejected']:,} rejected"]
    reasons += [f"{count:,} dropped ({reason})" for reason, count in rows["dropped"].items()]
    reasons += unfit_lines(plan)
    block = "█" if can_show("█", encoding) else "#"
    most = max(row["rows"] for row in lengths["histogram"])
    width = max(len(row["tokens"]) for row in lengths["histogram"])
    room = len(f"{most:,}")
    lines = [
        f"plan: {counted(rows['usable'], 'row')}: {rows['both']:,} with both objectives, "
        f"{rows['sft_alone']:,} with sft alone, {rows['pointwise_alone']:,} with pointwise alone; "
        f"{', '.join(reasons)}",
        f"  tokens a row (prompt and target): mean {lengths['mean']:,.0f}, median "
        f"{lengths['median']:,.0f}, longest {lengths['longest']:,}; "
        f"{rows['truncated_share']:.1%} of documents cut",
    ]
    lines += [
        f"  {row['tokens']:>{width}}  {row['rows']:>{room},}  "
        f"{block * math.ceil(row['rows'] * _BAR / most)}".rstrip()
        for row in lengths["histogram"]
    ]
    lines += [
        f"  {counted(plan['steps'], 'step')} ({plan['warmup_steps']:,} of warmup), "
        f"{counted(draws['all'], 'draw')} ({draws['from_sft']:,} from the sft pool), "
        f"{counted(plan['tokens'], 'token')}; {counted(plan['dev_rows'], 'dev row')}",
        f"  memory about {_gib(memory['all'])}: "
        + ", ".join(f"{name} {_gib(size)}" for name, size in memory.items() if name != "all")
        + f" (largest pass {plan['largest_pass']:,} tokens)",
    ]
    return lines + [f"  {line}" for line in doubt_lines(plan)]


def unfit_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return how many rows teach their score only, and why; nothing where there are none."""
    faults = plan["rows"].get("unfit_texts", {})
    return [f"{count:,} by their score alone ({reason})" for reason, count in faults.items()]


def doubt_lines(plan: Mapping[str, Any]) -> list[str]:
    """Return the reasons why the trained model can hardly be judged."""
    rows, lines = plan["rows"]["usable"], []
    per_step = plan["draws"]["all"] // plan["steps"]
    if rows < per_step:
        lines.append(f"few rows: {rows:,}, less than one optimizer step of {per_step}")
    if not plan["dev_rows"]:
        lines.append("no dev rows: the model is measured on nothing (--dev FILE; prism split)")
    return lines


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"
