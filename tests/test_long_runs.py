"""Hostile texts: a long run of one sign takes time in proportion to its length."""

import time
from collections.abc import Callable

import pytest

from prism_cli.adapters.runtimes.evidence_selection import closed
from prism_cli.files.lines import refuse_foreign
from prism_cli.files.urls import without_secrets
from prism_cli.rows.decode import decode_row

LONG = 100_000


@pytest.mark.parametrize(
    "work",
    [
        lambda: closed("<contribution>a" + " " * LONG + "b", ended=True),
        lambda: closed("<contribution>a<" + " " * LONG + "b", ended=True),
        lambda: refuse_foreign(b"[]" + b"\r" * LONG + b"x", "in.json"),
        lambda: without_secrets("s3://" + ":" * LONG),
        lambda: decode_row(b'{"a": {"b": 0.' + b"1" * LONG + b'e-5, "c": 1e300}}\n'),
    ],
)
def test_a_long_run_takes_no_time(work: Callable[[], object]) -> None:
    began = time.process_time()
    work()
    assert time.process_time() - began < 1


def test_digits_behind_a_point_are_no_integer() -> None:
    line = b'{"a": {"b": 0.9999999999999999999999, "c": 1e300}}\n'
    assert decode_row(line) == {"a": {"b": 1.0, "c": 1e300}}
