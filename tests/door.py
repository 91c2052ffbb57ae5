"""Running `prism` in this process, through the same `main` as the installed command."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from prism_cli.app import main


@dataclass(frozen=True)
class Done:
    """Result of one command line."""

    returncode: int
    stdout: str
    stderr: str


def prism(*words: str | Path) -> Done:
    """Run one command line without the seconds that a new interpreter takes."""
    raw_out, raw_err = io.BytesIO(), io.BytesIO()
    out, err = io.TextIOWrapper(raw_out, "utf-8"), io.TextIOWrapper(raw_err, "utf-8")
    with (
        patch.object(sys, "argv", ["prism", *map(str, words)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        main()
    out.flush()
    err.flush()
    assert isinstance(left.value.code, int)
    return Done(left.value.code, raw_out.getvalue().decode(), raw_err.getvalue().decode())
