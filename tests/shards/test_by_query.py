"""Rows of a query put together."""

import gzip
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import ChangedInputError, InterruptedRunError
from prism_cli.rows.row import Row
from prism_cli.shards import by_query, spill
from prism_cli.shards.by_query import SortedByQuery
from prism_cli.shards.reader import find_shards
from prism_cli.shards.remote.requests import stoppable
from tests.factories import make_pairs, write_jsonl
from tests.fakes import EchoStage


def test_rows_stand_by_query_in_order_of_first_rows(tmp_path: Path) -> None:
    first = b"".join(
        b'{"query":"%s","document":"%d"}\n' % (q, n) for n, q in enumerate((b"b", b"a", b"b"))
    )
    (tmp_path / "1.jsonl").write_bytes(first)
    (tmp_path / "2.jsonl.gz").write_bytes(gzip.compress(b'{"query":"a","document":"3"}\nbroken'))
    source = SortedByQuery(find_shards([str(tmp_path)]), {})
    lines = list(source.lines())
    rows = [orjson.loads(line) for line in lines if line != b"broken"]
    assert [(row["query"], row["document"]) for row in rows] == [
        ("b", "0"), ("b", "2"), ("a", "1"), ("a", "3"),
    ]  # fmt: skip
    assert b"broken" in lines
    assert len(source.fingerprint) == 64


def test_the_time_grows_with_the_rows_not_with_their_square(tmp_path: Path) -> None:
    rows = 20_000
    lines = b"".join(
        b'{"query":"%d","document":"%d"}\n' % (number * 7919 % rows // 2, number)
        for number in range(rows)
    )
    (tmp_path / "rows.jsonl").write_bytes(lines)
    started = time.process_time()
    assert len(list(SortedByQuery(find_shards([str(tmp_path)]), {}).lines())) == rows
    assert time.process_time() - started < 8.0  # 1 s; a join without an index: 20 s


def test_a_file_that_was_rewritten_since_its_fingerprint_is_not_read(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", make_pairs(9))
    source = SortedByQuery(find_shards([str(path)]), {})
    before = source.fingerprint
    with path.open("ab") as file:
        file.write(b'{"query":"late","document":"d"}\n')
    assert (len(list(source.lines())), source.fingerprint) == (9, before)
    write_jsonl(path, make_pairs(8))
    with pytest.raises(ChangedInputError, match="changed while it was read"):
        list(source.lines())


def test_a_run_that_must_stop_stops_before_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_STEPS", 1000)
    lines = (b'{"query":"%d","document":"d"}\n' % (number % 50) for number in range(5000))
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
    source = SortedByQuery(find_shards([str(tmp_path / "rows.jsonl")]), {})
    looks, stop_at = 0, 0

    def check() -> None:
        nonlocal looks
        looks += 1
        if looks >= stop_at > 0:
            raise InterruptedRunError(signal.SIGTERM)

    def looks_of(work: Callable[[], object]) -> int:
        nonlocal looks
        looks = 0
        with stoppable(check):
            work()
        return looks

    assert looks_of(lambda: source.fingerprint) == 1
    sorting = looks_of(lambda: next(source.lines()))
    reading = looks_of(lambda: list(source._entries()))
    assert 10 < reading < sorting
    for number in (1, reading // 2, sorting - 1):
        stop_at = number
        with pytest.raises(InterruptedRunError):
            looks_of(lambda: next(source.lines()))


def test_a_signal_ends_a_run_that_sorts_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(2000))
    options = RunOptions(tmp_path / "out.jsonl", quiet=True)
    true, read = by_query.decode_row, 0

    def signalled(*args: Any) -> Row:
        nonlocal read
        read += 1
        if read == 300:
            os.kill(os.getpid(), signal.SIGTERM)
        return true(*args)

    monkeypatch.setattr(by_query, "decode_row", signalled)
    source = SortedByQuery(find_shards([str(given)]), {})
    with pytest.raises(InterruptedRunError) as caught:
        run_rows(EchoStage(), [source], options)
    assert caught.value.exit_code == 143
    assert read < 1000
    assert run_rows(EchoStage(), [source], options).counts.written == 2000
