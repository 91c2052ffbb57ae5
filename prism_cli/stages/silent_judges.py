"""Models without usable answers: their reasons, and warnings about judges."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping

from prism_cli.domain.defaults import KEYLESS_JUDGES
from prism_cli.wording import counted

MOST_REASONS, SHOWN_REASONS = 1000, 10
"""Most distinct reasons that are counted, and most that the summary lists."""

Reasons = Counter[tuple[str, str]]
"""Counts by (model, reason)."""


def count_reason(reasons: Reasons, model: str, reason: str) -> None:
    """Count why a model gave nothing; of too many distinct reasons the new ones together."""
    full = len(reasons) >= MOST_REASONS and (model, reason) not in reasons
    reasons[model, "other reasons" if full else reason] += 1


def shown_reasons(reasons: Reasons, role: str = "judge") -> list[dict[str, object]]:
    """Return the most frequent reasons for the summary."""
    return [
        {role: model, "rows": count, "why": reason}
        for (model, reason), count in reasons.most_common(SHOWN_REASONS)
    ]


def silent_judges(
    votes: Mapping[str, Counter[str]], reasons: Reasons, labels: Container[str]
) -> Iterator[str]:
    """Yield a warning for each model without a usable answer for more than half of its rows: their
    number, the most frequent reason, and a remedy. Of labels, for those that no row has.

    Args:
        votes: by judge, counts of answers: yes, no, abstained, and kept ones.
        labels: judges that read the row's own label.
    """
    for judge, answers in votes.items():
        silent, asked = answers["abstained"], answers.total() - answers["kept"]
        if judge in labels:
            if silent == answers.total() > 0:
                yield (
                    f"{judge} gave no vote, as no row has a source_label. Take other judges, such "
                    f"as {KEYLESS_JUDGES}, which need no key"
                )
        elif 2 * silent > asked:
            own = {reason: rows for (name, reason), rows in reasons.items() if name == judge}
            most = max(own, key=own.__getitem__, default="it gave no reason")
            yield (
                f"{judge} gave no usable answer for {silent:,} of {counted(asked, 'row')} "
                f"({silent / asked:.0%}), most often: {most}. Take another model (--judge) or "
                "another rubric (--rubric); --fresh asks the same model again"
            )
