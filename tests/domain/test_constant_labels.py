"""Warning for labels with the same answer on all rows."""

import pytest

from prism_cli.domain.constant_labels import same_answer_warning


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"source:2": {"0": 60}}, "source:2 gives 0 to all 60 rows: "),
        ({"source": {"yes": 2, "no": 1}, "source:3": {"no": 3}}, "source:3 gives no to all 3 rows"),
        ({"source": {"yes": 2, "no": 1}}, None),
        ({"source": {"yes": 1}}, None),
        ({"source": {}}, None),
    ],
)
def test_one_answer_to_all_rows_is_reported(
    answers: dict[str, dict[str, int]], message: str | None
) -> None:
    warning = same_answer_warning(answers)
    assert warning is None if message is None else str(warning).startswith(message)
