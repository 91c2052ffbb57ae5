"""Figures of one output beside its counts: questions, cost, reasons of rejects, training log."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from prism_cli.errors import MissingDataError
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.local_ledger import local_ledger_path
from prism_cli.shards.manifest import uses_ledger
from prism_cli.shards.run_record import output_id
from prism_cli.shards.state import LEDGER_NAME, states_near

_REASONS = 5
_DISTINCT_REASONS = 10_000
_TAIL_BYTES = 64 << 10


def questions(heartbeat: Mapping[str, Any]) -> dict[str, Any]:
    counts, new = heartbeat["questions"], heartbeat["moved"] - heartbeat.get("found", 0.0)
    per_row = (counts["answered"] - counts["found"]) / new if new > 0 else 0.0
    return {
        "answered": counts["answered"],
        "total": counts["total"],
        "per_second": round(per_row * heartbeat.get("rows_per_second", 0.0), 3),
        "nouns": heartbeat.get("nouns", ["rows", "questions"]),
    }


def usage(
    record_path: Path, manifest: Mapping[str, Any], heartbeat: Mapping[str, Any]
) -> dict[str, float]:
    """Return the cost of the output over all attempts, from the ledger, which includes killed
    ones."""
    usage: dict[str, float] = dict(manifest.get("usage") or {})
    if not manifest or (manifest["finished"] and (usage or not uses_ledger(manifest["stage"]))):
        return usage
    output = output_id(record_path, manifest["config_fingerprint"])
    ledger = Path(heartbeat["ledger"]) if "ledger" in heartbeat else None
    folders = [ledger.parent] if ledger else states_near(record_path)
    spent = _spent([folder / LEDGER_NAME for folder in folders], output)
    local = _spent([local_ledger_path(folder, record_path) for folder in folders], output)
    if not spent and not local:
        return usage
    both = {name: spent.get(name, 0) + local.get(name, 0) for name in {**spent, **local}}
    return usage | both | {"local": local.get("asked", 0)}


def _spent(ledgers: Sequence[Path], output: str) -> dict[str, float]:
    """Return the cost of `output` in the first of the ledgers that has it; {} if none does."""
    for path in filter(Path.is_file, ledgers):
        with suppress(MissingDataError):  # a ledger that is being created, or another kind of file
            for row in LedgerFile(path).spent(output):
                return {name: value for name, value in row.items() if name != "output"}
    return {}


def reject_reasons(path: Path) -> list[dict[str, Any]]:
    """Return the most frequent reasons with their fields."""
    reasons: Counter[tuple[str, str]] = Counter()
    try:
        with path.open("rb") as file:
            for raw in file:
                line = orjson.loads(raw)
                key = (line["field"], line["reason"])
                if key in reasons or len(reasons) < _DISTINCT_REASONS:
                    reasons[key] += 1
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        pass  # no file, or not written by prism: report what was counted
    return [
        {"field": field, "reason": reason, "count": count}
        for (field, reason), count in reasons.most_common(_REASONS)
    ]


def last_line(path: Path) -> dict[str, Any]:
    """Return the last complete line of a log; {} if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # being written now, or cut short by a kill
        return content if isinstance(content, dict) else {}
    return {}
