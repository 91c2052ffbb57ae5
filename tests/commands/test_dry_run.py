"""Warnings of `--dry-run`: what a run would lack, ignore or cannot price."""

from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import make_pair, write_jsonl


@pytest.fixture
def rows() -> Path:
    return write_jsonl(Path("rows.jsonl"), [make_pair(number) for number in range(3)])


def test_a_misspelled_model_a_missing_key_and_calls_without_a_price_are_named(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = prism("relabel", rows, "--judge", "openai/gpt-5.4-mni", "--dry-run")
    assert done.returncode == 0
    assert "openai/gpt-5.4-mni: not in the provider files" in done.stderr
    assert "did you mean gpt-5.4-mini?" in done.stderr
    assert "keys that are not set: OPENAI_API_KEY for openai/gpt-5.4-mni" in done.stderr
    total = "0.0000 USD, plus 3 requests to openai/gpt-5.4-mni, price unknown, and"
    assert total in " ".join(done.stderr.split())


def test_a_complete_setup_gets_no_warning(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    done = prism("relabel", rows, "--judge", "openai/gpt-5.4-mini", "--dry-run", "--batch")
    assert done.returncode == 0
    assert "warning" not in done.stderr
    assert "price unknown" not in done.stderr


@pytest.mark.parametrize(
    ("judges", "message"),
    [
        (["deepseek/deepseek-chat"], "--batch has no effect: no model of this run takes"),
        (
            ["deepseek/deepseek-chat", "openai/gpt-5.4-mini"],
            "--batch has no effect on deepseek/deepseek-chat: ",
        ),
    ],
)
def test_a_batch_option_without_effect_is_named(
    rows: Path, judges: list[str], message: str
) -> None:
    words = [word for judge in judges for word in ("--judge", judge)]
    for more in ((), ("--json",)):
        done = prism("relabel", rows, *words, "--dry-run", "--batch", *more)
        assert done.returncode == 0
        assert message in " ".join(done.stderr.split())
