"""Names of months and days are found wherever the patterns match, though most texts skip them."""

from collections.abc import Callable

import pytest

from prism_cli.domain import dates as module
from prism_cli.domain.dates import named_dates
from prism_cli.domain.units import MONTHS, WEEKDAYS


@pytest.mark.parametrize("around", [" {} ", "{}", "1{}.", "x{} {}", "เดือน{}5", "{}曜", "({}y"])
@pytest.mark.parametrize("change", [str, str.upper, str.capitalize])
def test_every_name_that_the_pattern_finds_is_found(
    around: str, change: Callable[[str], str]
) -> None:
    for name in (*MONTHS, *WEEKDAYS, "frıday", "FRİDAY", "SALI"):
        text = around.replace("{}", change(name))
        found = {match.span() for match, _ in named_dates(text)}
        patterns = (module._BARE_MONTH, module._WEEKDAY)
        assert found == {match.span() for pattern in patterns for match in pattern.finditer(text)}
