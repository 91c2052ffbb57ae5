"""The evidence budget, against a plain loop over all documents."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.evidence_budget import RankOptions, allot
from prism_cli.domain.scoring import relevance_score
from prism_cli.errors import ArgumentError, UsageError

THRESHOLDS = (0.0, 0.2, 0.5, 0.8, 1.0)
limits = st.none() | st.integers(1, 12)
cases = st.tuples(
    st.lists(
        st.tuples(st.integers(-6, 6), st.integers(0, 6) | st.integers(0, 300)), max_size=30
    ).map(lambda pairs: sorted(pairs, key=lambda pair: -pair[0])),
    st.builds(
        RankOptions,
        evidence_top=limits,
        threshold=st.sampled_from(THRESHOLDS),
        max_evidence_tokens=st.none() | st.integers(1, 20) | st.integers(1, 2000),
    ),
)


def worked(
    documents: list[tuple[int, int]], options: RankOptions
) -> tuple[list[str | None], list[list[int]]]:
    """Return the reasons of omission, and the rounds, for (logit, tokens of its text)."""
    rounds: list[list[int]] = []
    work = allot([logit for logit, _ in documents], options)
    try:
        places = next(work)
        while True:
            rounds.append(places)
            places = work.send([documents[place][1] for place in places])
    except StopIteration as end:
        return end.value, rounds


def written_out(documents: list[tuple[int, int]], options: RankOptions) -> list[str | None]:
    fates: list[str | None] = []
    left = options.max_evidence_tokens or math.inf
    for place, (logit, tokens) in enumerate(documents):
        if not relevance_score(logit) > options.threshold:
            fates.append("threshold")
        elif place >= (options.evidence_top or math.inf):
            fates.append("evidence_top")
        elif not left or tokens > left:
            left = 0
            fates.append("max_evidence_tokens")
        else:
            left -= tokens
            fates.append(None)
    return fates


@given(cases)
def test_rounds_give_the_result_of_the_plain_loop(
    case: tuple[list[tuple[int, int]], RankOptions],
) -> None:
    documents, options = case
    fates, _ = worked(documents, options)
    assert fates == written_out(documents, options)


@given(cases)
def test_the_budget_is_never_exceeded(case: tuple[list[tuple[int, int]], RankOptions]) -> None:
    documents, options = case
    fates, rounds = worked(documents, options)
    written = [place for place, reason in enumerate(fates) if reason is None]
    assert written == list(range(len(written))), "no document before a better one"
    assert len(written) <= (options.evidence_top or math.inf)
    tokens = sum(documents[place][1] for place in written)
    assert tokens <= (options.max_evidence_tokens or math.inf)
    places_asked = [place for places in rounds for place in places]
    assert places_asked == list(range(len(places_asked))), "each once, best first"
    assert set(written) <= set(places_asked)
    assert all(fates[place] in (None, "max_evidence_tokens") for place in places_asked)


def test_rounds_depend_on_the_remaining_budget_and_end_at_the_first_misfit() -> None:
    documents = [(5, 100)] * 20
    fates, rounds = worked(documents, RankOptions(max_evidence_tokens=730))
    # 730 / 150, then the rest divided by the mean of 100, then one at a time.
    assert [len(places) for places in rounds] == [4, 3, 1]
    assert fates == [None] * 7 + ["max_evidence_tokens"] * 13


def test_a_short_text_after_a_misfit_is_omitted() -> None:
    fates, _ = worked([(3, 10), (2, 90), (1, 1)], RankOptions(max_evidence_tokens=50))
    assert fates == [None, "max_evidence_tokens", "max_evidence_tokens"]


def test_without_a_token_budget_there_is_one_round() -> None:
    assert worked([(3, 500)] * 9 + [(-1, 5)], RankOptions(evidence_top=7))[1] == [list(range(7))]
    assert worked([(-1, 5)], RankOptions(evidence_top=7)) == (["threshold"], [])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"top_n": 0}, "top_n: expected 1 or more, found 0"),
        ({"max_evidence_tokens": -5}, "max_evidence_tokens"),
        ({"threshold": 1.5}, "threshold: expected 0 to 1, found 1.5"),
        ({"threshold": math.nan}, "threshold"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        RankOptions(**wrong)  # type: ignore[arg-type]
    assert isinstance(caught.value, UsageError | ValueError)
