"""How runs stand, read from what they leave: lock, manifest, live record, rejects, ledger.

Nothing is written and no lock is taken, so a run at work is not disturbed.
"""

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from prism_cli.engine.input_changes import input_changes
from prism_cli.engine.live import EVERY_SECONDS, read_live, worked_seconds
from prism_cli.engine.parts import side_path
from prism_cli.errors import MissingDataError
from prism_cli.shards.batch_book import BOOK_NAME, open_batches
from prism_cli.shards.clock import now_ms
from prism_cli.shards.ledger_file import LedgerFile
from prism_cli.shards.local_ledger import local_ledger_path
from prism_cli.shards.lock import lock_holder, lock_path
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.run_record import output_id
from prism_cli.shards.state import LEDGER_NAME, ledgers_near, states_near

RUN_MANIFEST, RUN_LOG = "manifest.json", "log.jsonl"
"""What makes a directory that of a training run."""
_REASONS = 5
_DISTINCT_REASONS = 10_000
_STALE_SECONDS = 4 * EVERY_SECONDS
_TAIL_BYTES = 64 << 10


@dataclass
class Standing:
    """One output, or one training run.

    Attributes:
        state: running, stopped, finished, or never started (something holds its place, no more).
        counts: rows by where they ended: done, dropped (by reason), rejected, pending, written;
            empty for what is no row stage.
        total: rows expected, about; None where unknown.
        answered: rows at work whose present questions are all answered.
        questions: where rows ask several each: answered, total (None where unknown), per_second,
            and the nouns of both.
        seconds: of work in all attempts; of a killed one until its last record.
        usage: over all attempts: asked, input_tokens, output_tokens, usd, lost_calls.
        inputs_changed: a line for each input that a finished output was not made from as it is now.
        last_record_ms: when the run last told of itself, in ms since the epoch.
        training: the last line of a training run's log.
    """

    path: str
    state: str
    stage: str = ""
    label: str = ""
    process: int = 0
    attempts: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    through: int = 0
    total: int | None = None
    answered: int = 0
    questions: dict[str, Any] = field(default_factory=dict)
    reject_reasons: list[dict[str, Any]] = field(default_factory=list)
    pending_reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    usage: dict[str, float] = field(default_factory=dict)
    rows_per_second: float = 0.0
    seconds_left: float | None = None
    last_record_ms: int | None = None
    inputs_changed: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def standings(paths: Sequence[Path]) -> list[Standing]:
    """Of outputs, manifests, folders of outputs, training runs and evaluations' folders; of each
    output once.

    Raises:
        MissingDataError: a path with nothing of ours.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for papers in _known(path):
            found.setdefault(papers.resolve(), papers)
    return [_standing(papers) for papers in found.values()]


def _known(path: Path) -> list[Path]:
    found = _papers(path)
    if not found:
        hint = f"; `prism status {path.parent}` shows all outputs there" if _near(path) else ""
        raise MissingDataError(
            f"{path}: no output of a run that is known here; expected an output (also one in the "
            f"making), its manifest, a folder of outputs, a training run or an evaluation{hint}"
        )
    return found


def batches_of(found: Sequence[Standing]) -> list[dict[str, Any]]:
    """What `open_batches` tells of the books that these outputs' runs may use."""
    folders = {Path(one.path).parent for one in found}
    ledgers = dict.fromkeys(one for folder in sorted(folders) for one in ledgers_near(folder))
    return [batch for one in ledgers for batch in open_batches(one.with_name(BOOK_NAME))]


def _papers(path: Path) -> list[Path]:
    """The paths whose names carry manifest, lock and live record."""
    if path.name in ("", ".."):
        path = path.resolve()
    if path.name == RUN_MANIFEST:
        return [path.parent]
    if path.name.endswith(MANIFEST_SUFFIX):
        path = path.with_name(path.name.removesuffix(MANIFEST_SUFFIX))
    if _is_known(path):
        return [path]
    return _inside(path) if path.is_dir() else []


def _inside(folder: Path) -> list[Path]:
    names: set[str] = set()
    for file in folder.iterdir():
        name = file.name
        if name.endswith(MANIFEST_SUFFIX):
            name = name.removesuffix(MANIFEST_SUFFIX)
        elif name.startswith(".") and name.endswith(".lock"):
            name = name.removeprefix(".").removesuffix(".lock")
        elif not file.is_dir():
            continue
        if name and name not in names and _is_known(folder / name):
            names.add(name)
    return [folder / name for name in sorted(names)]


def _manifest_of(papers: Path) -> Path:
    run = papers / RUN_MANIFEST
    return run if run.is_file() else manifest_path(papers)


def _is_known(papers: Path) -> bool:
    """Whether something says what made it, or it is in the making. Others lock folders too."""
    begun = lock_path(papers).is_file() and not papers.exists()
    return begun or read_manifest(_manifest_of(papers)) is not None


def _near(path: Path) -> bool:
    return path.parent.is_dir() and not path.is_dir() and bool(_inside(path.parent))


def _standing(papers: Path) -> Standing:
    record = read_live(papers) or {}
    manifest = _manifest_of(papers)
    made = read_manifest(manifest) or {}
    process = _process(papers, record)
    if process:
        state = "running"
    else:
        state = "never started" if not made else "finished" if made["finished"] else "stopped"
    if state == "finished" or (process and record and record["pid"] != process):
        record = {}  # of an earlier attempt
    # What is told in the record only, as no manifest was written after it.
    untold = bool(record) and (bool(process) or not record["ended"])
    counts = made.get("counts") or {}
    found = Standing(
        str(papers),
        state,
        made.get("stage") or record.get("stage") or "",
        record.get("label", ""),
        process,
        made.get("attempts", 0),
        record.get("counts") or ({} if process else counts),
        through=record.get("through", 0 if process else counts.get("rows", 0)),
        total=record.get("total"),
        pending_reasons=record.get("pending_reasons", {}),
        seconds=made.get("seconds", 0.0),
        usage=_usage(papers, made, record),
        last_record_ms=record.get("updated_ms"),
    )
    if record.get("questions"):
        found.questions = _questions(record)
    if untold:
        found.seconds = round(found.seconds + worked_seconds(record), 3)
    if process:
        found.answered = record.get("answered", 0)
        found.rows_per_second = record.get("rows_per_second", 0.0)
        if found.total and found.rows_per_second:
            left = max(0.0, found.total - record["moved"])
            found.seconds_left = round(left / found.rows_per_second, 1)
    else:
        found.reject_reasons = _reject_reasons(side_path(papers, "rejects"))
    if state == "finished":
        found.inputs_changed = input_changes(made, manifest)
    if manifest.name == RUN_MANIFEST:
        found.training = _last_line(papers / RUN_LOG)
    return found


def _questions(record: Mapping[str, Any]) -> dict[str, Any]:
    asked, new = record["questions"], record["moved"] - record.get("found", 0.0)
    each = (asked["answered"] - asked["found"]) / new if new > 0 else 0.0
    return {
        "answered": asked["answered"],
        "total": asked["total"],
        "per_second": round(each * record.get("rows_per_second", 0.0), 3),
        "nouns": record.get("nouns", ["rows", "questions"]),
    }


def _process(papers: Path, record: Mapping[str, Any]) -> int:
    """Who works on it; 0 for nobody. Where the kernel does not tell of locks, or the run is on
    another machine, a record that is being renewed stands for its process."""
    holder = lock_holder(papers)
    if holder or not record or record["ended"]:
        return holder
    if abs(now_ms() - record["updated_ms"]) > _STALE_SECONDS * 1000:
        return 0
    process = int(record["pid"])
    if record["host"] == platform.node():
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return 0
        except PermissionError:
            pass  # another user's
    return process


def _usage(papers: Path, made: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, float]:
    """What the output cost in all its attempts: from the ledger, which knows of killed ones too."""
    usage: dict[str, float] = dict(made.get("usage") or {})
    if not made or (made["finished"] and usage):
        return usage
    output = output_id(papers, made["config_fingerprint"])
    used = Path(record["ledger"]) if "ledger" in record else None
    places = [used.parent] if used else states_near(papers)
    spent = _spent([place / LEDGER_NAME for place in places], output)
    local = _spent([local_ledger_path(place, papers) for place in places], output)
    if not spent and not local:
        return usage
    both = {name: spent.get(name, 0) + local.get(name, 0) for name in {**spent, **local}}
    return usage | both | {"local": local.get("asked", 0)}


def _spent(ledgers: Sequence[Path], output: str) -> dict[str, float]:
    """What the first of the ledgers says that `output` cost; {} where none knows it."""
    for place in filter(Path.is_file, ledgers):
        with suppress(MissingDataError):  # a ledger that is being made, or no ledger
            for row in LedgerFile(place).spent(output):
                return {name: value for name, value in row.items() if name != "output"}
    return {}


def _reject_reasons(path: Path) -> list[dict[str, Any]]:
    """The commonest, with their fields."""
    found: Counter[tuple[str, str]] = Counter()
    try:
        with path.open("rb") as file:
            for line in file:
                one = orjson.loads(line)
                key = (one["field"], one["reason"])
                if key in found or len(found) < _DISTINCT_REASONS:
                    found[key] += 1
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        pass  # none, or not as we write them: what was counted counts
    return [
        {"field": field, "reason": reason, "count": count}
        for (field, reason), count in found.most_common(_REASONS)
    ]


def _last_line(path: Path) -> dict[str, Any]:
    """The last whole line of a log; {} where there is none."""
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
            continue  # being written now, or torn by a kill
        return content if isinstance(content, dict) else {}
    return {}


def together(found: Sequence[Standing]) -> dict[str, Any]:
    """The sums over several outputs."""
    counts: Counter[str] = Counter()
    usage: Counter[str] = Counter()
    for one in found:
        for name in ("rows", "done", "rejected", "pending", "written"):
            counts[name] += one.counts.get(name, 0)
        counts["dropped"] += sum(one.counts.get("dropped", {}).values())
        usage.update(one.usage)
    return {
        "outputs": len(found),
        "states": dict(Counter(one.state for one in found)),
        "through": sum(one.through for one in found),
        "counts": dict(counts),
        "usage": dict(usage),
        "seconds": round(sum(one.seconds for one in found), 3),
    }
