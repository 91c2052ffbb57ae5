"""Foreign text on the terminal: no markup, and no control sequences."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli import app
from prism_cli.commands import doctor
from prism_cli.commands.forecast_table import print_forecast
from prism_cli.commands.tables import plain_console, print_table
from prism_cli.engine.forecast import Forecast, ModelForecast

PACKAGE = Path(app.__file__).parent
FOREIGN = "[/foo] [red]x[/] :smile: \x1b[31m \x07 \u202e end"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@given(st.text() | st.text("[]/\\abc=#@:"))
def test_any_text_is_printed_verbatim(text: str) -> None:
    from rich.table import Table

    console = plain_console()
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    with console.capture() as capture:
        console.print(text, soft_wrap=True)
        console.print(table)
    assert not STEERS.search(capture.get())
    if text.isascii() and text.isprintable():
        assert text.strip() in capture.get()


def test_judge_names_and_replies_are_printed_verbatim(capsys: pytest.CaptureFixture[str]) -> None:
    row: dict[str, Any] = {"judge": FOREIGN, "well": False, "says": FOREIGN, "seconds": 1, "usd": 0}
    doctor._show([row, row | {"well": True}])
    print_table(FOREIGN, [{FOREIGN: FOREIGN}])
    output = capsys.readouterr().out
    assert not STEERS.search(output)
    assert output.count("[/foo] [red]x[/] :smile:") == 7
    assert "⟨U+001B⟩[31m" in output


def test_errors_and_usage_are_printed_verbatim(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["rerank", FOREIGN], ["rerank", f"--{FOREIGN}"], [FOREIGN], ["status", FOREIGN]):
        monkeypatch.setattr("sys.argv", ["prism", *words])
        with pytest.raises(SystemExit) as leave:
            app.main()
        assert leave.value.code in (2, 3)
        messages = capsys.readouterr().err
        assert not STEERS.search(messages), words
        assert "foo]" in messages


def test_a_forecast_prints_model_names_verbatim(capsys: pytest.CaptureFixture[str]) -> None:
    models = [ModelForecast(FOREIGN, calls=1, usd=None), ModelForecast("lab/other", calls=1)]
    print_forecast(Forecast(FOREIGN, 1, 1, [FOREIGN], models), json=False)
    messages = capsys.readouterr().err
    assert not STEERS.search(messages)
    assert messages.count("[/foo]") == 4


def test_every_console_disables_markup() -> None:
    values = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bConsole\(|\(Console\)", path.read_text(encoding="utf-8"))
    }
    assert values == {
        "commands/help.py",  # prints prism's own topics
        "commands/tables.py",
        "engine/progress_bar.py",
        "quickstart/results.py",
    }
