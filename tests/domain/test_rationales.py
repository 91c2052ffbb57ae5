"""Evidence against marked sentences, on worked numbers."""

import pytest

from prism_cli.domain.rationales import Match, rationale_match
from prism_cli.domain.squad_tokens import squad_tokens

MARKED = ["Vitamin D lowers the risk of rickets.", "No effect on growth was seen."]


def matched(evidence: str, *marked: str) -> Match:
    return rationale_match(evidence, [squad_tokens(text) for text in marked])


@pytest.mark.parametrize(
    ("evidence", "recall", "precision", "f1"),
    [
        ("Vitamin D lowers the risk of rickets. No effect on growth was seen.", 1, 1, 1),
        # "vitamin d lowers" are 3 of 6 tokens: just enough for the first, none of the second.
        ("Vitamin D lowers.", 0.5, 1, 2 / 3),
        # 2 of 6 are not; but both tokens are marked ones.
        ("Vitamin D.", 0, 1, 0),
        # 3 of its 7 tokens are marked: not right, though one sentence is recalled.
        ("Vitamin D lowers something else entirely unrelated.", 0.5, 0, 0),
        ("Vitamin D lowers the risk of rickets. The weather is fine today.", 0.5, 0.5, 0.5),
        ("", 0, 0, 0),
        ("The.", 0, 0, 0),
    ],
)
def test_figures_equal_worked_numbers(
    evidence: str, recall: float, precision: float, f1: float
) -> None:
    match = matched(evidence, *MARKED)
    assert match == Match(recall, precision, pytest.approx(f1))


def test_repeated_tokens_count_each_time() -> None:
    assert matched("no no no", "no no no yes yes yes").recall == 1
    assert matched("no no", "no no no yes yes yes").recall == 0
    assert matched("no no no yes", "no yes").precision == 1
    assert matched("no no no yes", "no").precision == 0


def test_characters_in_chinese() -> None:
    assert matched("铁塔建于1889年。", "铁塔1889年建成。") == Match(1, 1, 1)
