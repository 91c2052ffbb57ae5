"""What metrics.json says of its making."""

import pytest

from prism_cli.evaluation.metrics_file import default_folder, typed_command


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("eval data -o out --top-k 5", "eval data --top-k 5"),
        ("eval data --output out -q", "eval data"),
        ("eval --output=out -v data", "eval data"),
        ("eval data -oout --json --overwrite --fresh --max-seconds 9", "eval data"),
        ("eval data -qo out -qv --max-seconds=9 --quiet --verbose", "eval data"),
        (
            "eval data --model a --seed 3 --set top_k=4",
            "eval data --model a --seed 3 --set top_k=4",
        ),
        ("eval data -o out -- -q", "eval data -- -q"),
        ("eval data -o", "eval data"),
    ],
)
def test_command_keeps_what_decides_figures(typed: str, kept: str) -> None:
    assert typed_command(["/some/where/prism", *typed.split()]) == ["prism", *kept.split()]


def test_inputs_with_other_names_have_other_default_folders() -> None:
    one, other = default_folder("長城-" * 40, 100), default_folder("日本-" * 40, 100)
    assert one != other
    assert one.name.isascii()
    assert len(one.name) <= 100
    assert default_folder("rows 1", 100).name == "rows-1"
