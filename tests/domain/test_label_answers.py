"""Warning for labels with the same answer on all rows."""

import pytest

from prism_cli.domain.label_answers import same_answer_warning


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source:2": {"0": 60}}, "source:2 gives 0 to all 60 rows: "),
        ({"source": {"yes": 2, "no": 1}, "source:3": {"no": 3}}, "source:3 gives no to all 3 rows"),
        ({"source": {"yes": 2, "no": 1}}, None),
        ({"source": {"yes": 1}}, None),
        ({"source": {}}, None),
    ],
)
def test_one_answer_to_all_rows_is_told(given: dict[str, dict[str, int]], told: str | None) -> None:
    warning = same_answer_warning(given)
    assert warning is None if told is None else str(warning).startswith(told)
