"""Warning for a sample whose caps drop nearly all rows of a score or of a verdict."""

from collections import Counter
from collections.abc import Mapping

from prism_cli.domain.sampling import poorest_bucket

ENOUGH_OF_SCORE = "enough rows of its score"
ENOUGH_OF_ORIGIN = "enough rows of its side of labelled : web = 2 : 3"
BINS_TOLD = 4
"""Number of emptied bins that a warning lists."""
Stratum = tuple[str, int]
"""Source and score bin."""


def edges(index: int, bins: int) -> str:
    """Return the edges of a bin, such as 0.85-0.90."""
    return f"{index / bins:.2f}-{(index + 1) / bins:.2f}"


def cap_warning(
    counts: Mapping[Stratum, int],
    quotas: Mapping[Stratum, int],
    verdicts: Mapping[str, int],
    left_out: Mapping[tuple[str, str], int],
    *,
    bins: int,
    size: int | None,
) -> str | None:
    """Return one line where a bin falls to 0 rows, or where one verdict keeps less than a quarter
    of its rows and the other more than three quarters; it names the cap. None otherwise.

    Args:
        counts, quotas: number of rows, and of rows to keep, by stratum.
        verdicts: number of rows by verdict.
        left_out: number of dropped rows by verdict and ENOUGH_OF_SCORE or ENOUGH_OF_ORIGIN.
        size: value of --size; None for the paper's rule.
    """
    out = Counter[str]()
    for (verdict, _), count in left_out.items():
        out[verdict] += count
    after = {verdict: count - out[verdict] for verdict, count in verdicts.items()}
    effects, poor = [], _one_sided(verdicts, after)
    if poor:
        effects += [
            f"{after[verdict]:,} of {verdicts[verdict]:,} {verdict} rows left"
            for verdict in sorted(after)
            if verdict
        ]
    if emptied := _emptied(counts, quotas):
        names = [
            f"{edges(index, bins)} ({count:,} before)"
            for index, count in list(emptied.items())[:BINS_TOLD]
        ]
        more = len(emptied) - len(names)
        effects.append(
            f"none left of score {', '.join(names)}" + (f" and {more} more" * bool(more))
        )
    if not effects:
        return None
    if poor and left_out.get((poor, ENOUGH_OF_ORIGIN), 0) > left_out.get(
        (poor, ENOUGH_OF_SCORE), 0
    ):
        cap = "the cap is labelled : web = 2 : 3, and --web-source says which rows are web rows"
    elif size is not None:
        cap = f"the cap is --size {size} over {bins} bins; a larger --size keeps more"
    else:
        cap = _papers_cap(counts, quotas, bins)
    return f"{'; '.join(effects)}: {cap}"


def _one_sided(before: Mapping[str, int], after: Mapping[str, int]) -> str | None:
    """Return the verdict that keeps less than a quarter of its rows while the other keeps more than
    three quarters; None if there is none."""
    for poor, other in (("yes", "no"), ("no", "yes")):
        few = before.get(poor, 0) > 4 * after.get(poor, 0)
        if few and 4 * after.get(other, 0) > 3 * before.get(other, 0):
            return poor
    return None


def _emptied(counts: Mapping[Stratum, int], quotas: Mapping[Stratum, int]) -> dict[int, int]:
    """Return the bins of which no row may be kept, over all sources, with their number of rows."""
    before, after = Counter[int](), Counter[int]()
    for (source, index), quota in quotas.items():
        before[index] += counts.get((source, index), 0)
        after[index] += quota
    return {index: before[index] for index in sorted(before) if before[index] and not after[index]}


def _papers_cap(counts: Mapping[Stratum, int], quotas: Mapping[Stratum, int], bins: int) -> str:
    """Return the cap of the source that loses most rows to it."""
    lost = Counter[str]()
    for (source, index), quota in quotas.items():
        lost[source] += counts.get((source, index), 0) - quota
    source = max(sorted(lost), key=lambda name: lost[name])
    rows = [counts.get((source, index), 0) for index in range(bins)]
    poorest = poorest_bucket(rows)
    assert poorest is not None  # otherwise no row was capped
    return (
        f"the paper's rule caps scores from 0.20 to 0.95{f' of source {source}' if source else ''} "
        f"by the bin with the fewest rows, {edges(poorest, bins)} with {rows[poorest]:,}; "
        "--size N balances small data"
    )
