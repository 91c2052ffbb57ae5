"""Judges without usable answers: their reasons, and warnings."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prism_cli.wording import counted

MOST_REASONS, SHOWN_REASONS = 1000, 10
"""Most distinct reasons for abstentions that are counted, and most that the summary lists."""

Reasons = Counter[tuple[str, str]]
"""Counts by (judge, reason)."""


def count_reason(reasons: Reasons, judge: str, reason: str) -> None:
    """Count why a judge abstained; of too many distinct reasons the new ones together."""
    full = len(reasons) >= MOST_REASONS and (judge, reason) not in reasons
    reasons[judge, "other reasons" if full else reason] += 1


def shown_reasons(reasons: Reasons) -> list[dict[str, object]]:
    """Return the most frequent reasons for the summary."""
    return [
        {"judge": judge, "rows": count, "why": reason}
        for (judge, reason), count in reasons.most_common(SHOWN_REASONS)
    ]


def silent_judges(
    judges: Iterable[str], votes: Mapping[str, Counter[str]], reasons: Reasons
) -> Iterator[str]:
    """Yield a warning for each model without a usable answer for more than half of its rows: their
    number, the most frequent reason, and a remedy.

    Args:
        judges: specs of models.
        votes: by judge, counts of answers: yes, no, abstained, and kept ones.
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
