"""A ledger that is not as it was written: told, never believed, and what it holds is saved."""

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from prism_cli.errors import DamagedFileError, LockedError, MissingDataError
from prism_cli.ports import Reply, Request, Usage, request
from prism_cli.shards import ledger_repair
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.ledger_repair import repair_ledger
from prism_cli.shards.salvage import Salvage, Value
from tests.fakes import ScriptedCalls

COUNT = 400
Damage = Callable[[Path], None]


def asked() -> list[Request]:
    backend = ScriptedCalls()
    return [request(backend, "", str(number)) for number in range(COUNT)]


def reply(number: int) -> Reply:
    """Every third is longer than a page."""
    text = f"größe {number} " * (900 if number % 3 == 0 else 3)
    return Reply({"text": text, "number": number}, usage=Usage(10, 5, 0.25))


def fill(path: Path) -> list[Request]:
    ledger, requests = Ledger(path), asked()
    for start in range(0, COUNT, 50):
        some = requests[start : start + 50]
        answered = [(one, reply(start + n)) for n, one in enumerate(some)]
        ledger.commit("distill", "out#1", answered)
    ledger.close()
    return requests


def flip(path: Path, *, at: float, size: int, seed: int = 0) -> None:
    content = bytearray(path.read_bytes())
    start = int(len(content) * at)
    content[start : start + size] = random.Random(seed).randbytes(size)
    path.write_bytes(content)


def cut(path: Path, *, to: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to)])


DAMAGE: dict[str, Damage] = {
    "a page in the middle": lambda path: flip(path, at=0.5, size=4096),
    "a byte in the middle": lambda path: flip(path, at=0.5, size=1),
    "bytes all over": lambda path: [flip(path, at=n / 20, size=3, seed=n) for n in range(1, 20)],  # type: ignore[return-value]
    "the header": lambda path: flip(path, at=0.0, size=100),
    "the first page": lambda path: flip(path, at=0.0, size=4096),
    "cut in half": lambda path: cut(path, to=0.5),
    "cut by a little": lambda path: cut(path, to=0.99),
    "cut to a tenth": lambda path: cut(path, to=0.1),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_no_damaged_reply_is_used_and_the_others_are_saved(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "ledger.sqlite"
    requests = fill(path)
    damage(path)
    with pytest.raises(DamagedFileError, match=r"`prism ledger repair .*ledger\.sqlite` copies"):
        Ledger(path).find([one.key for one in requests])
    damaged = path.read_bytes()
    done = repair_ledger(path)
    assert done.aside == f"{path}.damaged-1"
    assert not list(tmp_path.glob("*.repair*"))
    assert Path(done.aside).read_bytes() == damaged
    ledger = Ledger(path)
    found = ledger.find([one.key for one in requests])
    ledger.close()
    assert done.replies == len(found) > 0
    assert done.usd == pytest.approx(0.25 * len(found))
    assert len(found) > COUNT * 0.9 or b"cut" in bytes(damage.__code__.co_names[0], "ascii")
    for number, one in enumerate(requests):
        if one.key in found:
            assert found[one.key].value == reply(number).value
    assert repair_ledger(path).aside is None


@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_byte_anywhere_is_told_or_does_no_harm(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "ledger.sqlite"
    requests = fill(path)
    flip(path, at=random.Random(seed).random(), size=1, seed=seed)
    try:
        ledger = Ledger(path)
        found = ledger.find([one.key for one in requests])
    except DamagedFileError:
        return
    assert [found[one.key].value["number"] for one in requests] == list(range(COUNT))


def test_what_only_the_log_holds_is_saved_too(tmp_path: Path) -> None:
    path, kept = tmp_path / "ledger.sqlite", tmp_path / "as-after-a-kill.sqlite"
    ledger, requests = Ledger(path), asked()
    ledger.commit("s", "out#1", [(one, reply(n)) for n, one in enumerate(requests)])
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{kept}{end}")
    ledger.close()
    flip(kept, at=0.0, size=100)
    flip(Path(f"{kept}-wal"), at=0.5, size=1)  # sqlite believes nothing from here on
    done = repair_ledger(kept)
    assert COUNT - 1 <= done.replies <= COUNT
    assert done.asked == COUNT
    assert Path(f"{kept}.damaged-1-wal").exists()
    assert not Path(f"{kept}-wal").exists()


def test_a_repair_that_was_killed_between_its_moves_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    requests = fill(path)
    flip(path, at=0.5, size=4096)
    path.rename(f"{path}.damaged-1")
    Path(f"{path}-wal").write_bytes(b"")
    assert repair_ledger(path).aside == f"{path}.damaged-1"
    assert Path(f"{path}.damaged-1-wal").exists()
    ledger = Ledger(path)
    assert len(ledger.find([one.key for one in requests])) > COUNT * 0.9
    ledger.close()


def test_a_damaged_ledger_of_an_earlier_version_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    requests = fill(path)
    with sqlite3.connect(path) as db:
        for name in ("sequence", "checksum"):
            db.execute(f"ALTER TABLE replies DROP COLUMN {name}")
        db.execute("DROP TABLE sequence")
    db.close()
    flip(path, at=0.0, size=16)
    assert repair_ledger(path).replies == COUNT
    ledger = Ledger(path)
    assert len(ledger.find([one.key for one in requests], 1_000_000)) == COUNT
    ledger.close()


def test_a_whole_ledger_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    fill(path)
    before = path.read_bytes()
    done = repair_ledger(path)
    assert (done.replies, done.aside) == (COUNT, None)
    assert path.read_bytes() == before


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for _ in range(2):
        with pytest.raises(MissingDataError, match="there is nothing to copy"):
            repair_ledger(path)
        path.touch()


@pytest.mark.parametrize(
    "used",
    [
        "locks = RequestLocks(path.with_suffix('.claims')); locks.acquire([bytes(32)])",
        "ledger = Ledger(path); ledger.next_sequence()",
    ],
    ids=["a request in flight", "between two windows"],
)
def test_a_ledger_at_work_is_not_moved(tmp_path: Path, used: str) -> None:
    path = tmp_path / "ledger.sqlite"
    fill(path)
    # A lock of this process would not keep it out.
    script = (
        "import sys; from pathlib import Path\n"
        "from prism_cli.shards.request_locks import RequestLocks\n"
        "from prism_cli.shards.ledger import Ledger\n"
        f"path = Path(sys.argv[1]); {used}\n"
        "print('', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline()
        with pytest.raises(LockedError, match="a run uses it"):
            repair_ledger(path)
        other.communicate()
    assert repair_ledger(path).replies == COUNT


def test_a_reply_that_comes_during_the_check_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    requests = fill(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM replies WHERE key = ?", (requests[0].key,))
    run = Ledger(path)

    class Slow(Salvage):
        def records(self) -> Iterator[list[Value]]:
            run.commit("distill", "out#1", [(requests[0], reply(0))])
            return super().records()

    monkeypatch.setattr(ledger_repair, "Salvage", Slow)
    assert repair_ledger(path).aside is None
    run.close()
