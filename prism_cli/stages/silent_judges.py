"""Warnings about judges without usable answers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prism_cli.wording import counted


def silent_judges(
    judges: Iterable[str],
    votes: Mapping[str, Counter[str]],
    reasons: Mapping[tuple[str, str], int],
) -> Iterator[str]:
    """Yield a warning for each model without a usable answer for more than half of its rows: their
    number, the most frequent reason, and a remedy.

    Args:
        judges: specs of models.
        votes: by judge, counts of answers: yes, no, abstained, and kept ones.
        reasons: counts by (judge, reason).
    """
    for judge in judges:
        silent, asked = votes[judge]["abstained"], votes[judge].total() - votes[judge]["kept"]
        if 2 * silent > asked:
            own = {reason: rows for (name, reason), rows in reasons.items() if name == judge}
            most = max(own, key=own.__getitem__, default="it gave no reason")
            yield (
                f"{judge} gave no usable answer for {silent:,} of {counted(asked, 'row')} "
                f"({silent / asked:.0%}), most often: {most}. Take another model (--judge) or "
                "another rubric (--rubric); --fresh asks the same model again"
            )
