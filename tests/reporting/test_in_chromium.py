"""A hostile page in a real browser."""

import shutil
import subprocess
from pathlib import Path

import pytest

from prism_cli.reporting.html import render_page
from tests.reporting.pages import HOSTILE, page_of

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
    "--dump-dom",
)  # fmt: skip


def loaded(page: bytes, folder: Path) -> tuple[str, list[str]]:
    """The document after loading, and what the console said."""
    assert CHROMIUM
    file = folder / "page.html"
    file.write_bytes(page)
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", file.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_nothing_runs_and_nothing_is_blocked(tmp_path: Path) -> None:
    page = render_page(page_of(" ".join(HOSTILE.values())))
    document, console = loaded(page, tmp_path)
    assert console == []
    assert "<title>ran" not in document
    assert "Provenance" in document
    # The console would have told: a style that the policy does not know is refused.
    worse = page.replace(b"<main>", b'<main style="color: red">')
    _, console = loaded(worse, tmp_path)
    assert any("Content Security Policy" in line for line in console)
