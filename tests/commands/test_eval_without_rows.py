"""`prism eval labels` and `prism eval quality` without a valid row, and then with some."""

from pathlib import Path

import pytest

from tests.commands.test_eval_labels import rows
from tests.commands.test_eval_quality import rows_of
from tests.door import prism
from tests.factories import write_jsonl
from tests.mini import MINI

COMMANDS = {
    "labels": ("rows.jsonl", "-o", "out"),
    "quality": ("rows.jsonl", "--baselines", "none", "-o", "out"),
}
REJECTS = {"labels": "labels.rejects.jsonl", "quality": "rows.jsonl.rejects.jsonl"}


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize(
    ("content", "more", "code", "message"),
    [
        ("", (), 3, "rows.jsonl: no row to measure: expected rows, found none"),
        ("no row\n", (), 4, "no row to measure: 1 of 1 rejected"),
        ("no row\n", ("--max-rejects", "1"), 3, "no row to measure: 1 of 1 rejected"),
    ],
)
def test_without_any_valid_row_there_is_no_report(
    kind: str, content: str, more: tuple[str, ...], code: int, message: str
) -> None:
    words, rejects = ("eval", kind, *COMMANDS[kind], *more), Path("out") / REJECTS[kind]
    Path("rows.jsonl").write_text(content)
    for _ in range(2):
        done = prism(*words)
        assert done.returncode == code
        assert message in done.stderr
        assert not Path("out/metrics.json").exists()
        assert not Path("out/report.html").exists()
        assert rejects.exists() == bool(content)
    write_jsonl(Path("rows.jsonl"), rows(6) if kind == "labels" else rows_of(MINI)[:3])
    assert prism(*words).returncode == 0
    assert Path("out/metrics.json").exists()
    assert not rejects.exists()
