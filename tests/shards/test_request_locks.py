"""RequestLocks on questions: one run at a time, given up with the process that held them."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from prism_cli.shards.request_locks import RequestLocks

KEYS = [sha256(bytes([number])).digest() for number in range(3)]
ROOT = Path(__file__).parent.parent.parent
HOLD = """
import sys
from pathlib import Path
from prism_cli.shards.request_locks import RequestLocks
locks = RequestLocks(Path("ledger.claims"))
print(locks.acquire([bytes.fromhex(key) for key in sys.argv[1:]]), flush=True)
sys.stdin.read(1)
"""


def holder(*keys: bytes) -> "subprocess.Popen[str]":
    """Another process that has locked these keys."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *(key.hex() for key in keys)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    return process


def test_a_lock_of_another_process_is_respected_until_it_is_gone() -> None:
    locks = RequestLocks(Path("ledger.claims"))
    with holder(KEYS[1]) as other:
        assert not locks.acquire(KEYS)
        assert locks.acquire([KEYS[0], KEYS[2]])  # the first try left nothing behind
        locks.release([KEYS[0]])
        with holder(KEYS[0]) as third:
            third.kill()
        other.kill()
        other.wait()
        assert locks.acquire(KEYS)
    locks.close()
    with holder(*KEYS) as last:
        last.kill()
    assert Path("ledger.claims").stat().st_size == 0
