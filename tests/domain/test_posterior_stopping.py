"""The posterior rule on panels whose votes have a known distribution; results are exact."""

from collections import Counter
from functools import cache
from itertools import product
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.domain.learned_rule import AuditRow, CheckedRule, full_verdict
from prism_cli.domain.panel_model import NO, SILENT, UNASKED, YES
from prism_cli.domain.posterior_stopping import StoppingRule
from prism_cli.domain.voting import Poll, reach_probabilities
from tests.panels import PANELS, Panel, copying, drawn, independent, outcome

EQUAL = [1.0] * 5


def known(panel: Panel, rows: int = 1_000_000) -> dict[Any, int]:
    return {pattern: round(rows * chance) for pattern, chance in panel.items() if chance}


def settled_calls(right: float) -> float:
    return sum(reach_probabilities([right] * 5))


def test_two_equal_votes_end_a_row_where_judges_are_right_in_92() -> None:
    """Calls a row, worked by hand: 2 with p = .8528, else 4 with p = .8528, else 5."""
    rule = StoppingRule(known(independent(*[0.92] * 5)), 5, 0.01)
    calls, changed = outcome(rule, independent(*[0.92] * 5))
    same = 0.92**2 + 0.08**2
    assert calls == pytest.approx(2 * same + (1 - same) * (4 * same + 5 * (1 - same)), abs=0.002)
    assert calls < 2.4 < settled_calls(0.92)
    assert changed == pytest.approx(0.92**2 * 0.08**3 + 0.08**2 * 0.92**3, abs=1e-4)


@pytest.mark.parametrize("right", [0.75, 0.83])
def test_weaker_judges_are_asked_until_the_verdict_is_settled(right: float) -> None:
    rule = StoppingRule(known(independent(*[right] * 5)), 5, 0.01)
    calls, changed = outcome(rule, independent(*[right] * 5))
    assert (calls, changed) == (pytest.approx(settled_calls(right)), 0)
    loose = StoppingRule(known(independent(*[right] * 5)), 5, 0.1)
    assert outcome(loose, independent(*[right] * 5))[0] < settled_calls(right)


@pytest.mark.parametrize("name", PANELS)
def test_the_risk_holds_for_rules_that_are_learned_from_few_rows(name: str) -> None:
    """Mean over draws of 150 audit rows. Single draws may be above: it is an expectation."""
    results = [
        outcome(StoppingRule(drawn(PANELS[name], 150, seed), 5, 0.01), PANELS[name])
        for seed in range(6)
    ]
    assert fmean(changed for _, changed in results) <= 0.01
    assert fmean(calls for calls, _ in results) < 3.8
    if name == "independent, .92":
        assert fmean(calls for calls, _ in results) < 2.4


def test_counted_patterns_keep_the_risk_where_independence_would_not() -> None:
    """The first two are right in .92, and the second copies the first: their agreement says
    little, so others are asked."""
    panel = copying(0.92, 0, 1, 0.8)
    rule = StoppingRule(drawn(panel, 2000, 1), 5, 0.01)
    assert rule.next_judge([YES, YES, UNASKED, UNASKED, UNASKED]) is not None
    independent_rule = StoppingRule(known(independent(*[0.92] * 5)), 5, 0.01)
    assert independent_rule.next_judge([YES, YES, UNASKED, UNASKED, UNASKED]) is None
    assert outcome(rule, panel)[1] < 0.01 < outcome(independent_rule, panel)[1]


def test_the_cheapest_judges_are_asked_first() -> None:
    counts = known(independent(*[0.92] * 5))
    first = StoppingRule(counts, 5, 0.01, [1, 1, 1, 0.1, 0.1])
    assert first.replay(("yes",) * 5)[1] == [3, 4]
    assert first.replay(("no", "no", "no", "yes", "no"))[1][:2] == [3, 4]
    assert StoppingRule(counts, 5, 0.01, EQUAL).replay(("yes",) * 5)[1] == [0, 1]
    # A judge that is right more often is worth a higher price, up to a point.
    counts = known(independent(0.8, 0.8, 0.8, 0.8, 0.99))
    dear = StoppingRule(counts, 5, 0.05, [1, 1, 1, 1, 1.2])
    assert 4 in dear.replay(("yes",) * 5)[1]
    too_dear = StoppingRule(counts, 5, 0.05, [1, 1, 1, 1, 9])
    assert 4 not in too_dear.replay(("yes",) * 5)[1]


def test_without_a_risk_judges_are_asked_in_the_order_of_the_panel() -> None:
    rule = StoppingRule({}, 5, 0.0, [3, 2, 5, 1, 0.1])
    assert rule.replay(("yes", "yes", "yes", "no", "no"))[1] == [0, 1, 2]
    assert rule.replay(("yes", "no", "yes", None, "no"))[1] == [0, 1, 2, 3, 4]


def test_a_judge_that_abstains_is_requested_again_and_costs_more() -> None:
    """Right in .97 of its votes, silent in .3, which makes 1.6 requests a row: a bargain at a tenth
    of the others' price, and none at .4, at which a single request would make it one."""
    counts = known(independent(0.92, 0.92, 0.92, 0.92, 0.97), 700_000)
    for pattern, rows in known(independent(*[0.92] * 4), 300_000).items():
        counts[*pattern, None] = rows
    for price, asked in ((0.1, [0, 4]), (0.4, [0, 1])):
        assert StoppingRule(counts, 5, 0.01, [1, 1, 1, 1, price]).replay(("yes",) * 5)[1] == asked


def test_expected_requests_are_those_of_the_panel_it_knows() -> None:
    panel = independent(0.95, 0.9, 0.85, 0.8, 0.75)
    rule = StoppingRule(known(panel), 5, 0.01)
    assert sum(rule.reach()) == pytest.approx(outcome(rule, panel)[0], abs=0.01)
    assert max(rule.reach()) == pytest.approx(1)


def test_a_prior_is_a_vote() -> None:
    rule = StoppingRule(known(independent(*[0.92] * 5)), 5, 0.01)
    likely = [YES, *[UNASKED] * 4]
    assert rule.next_judge(likely, 0.5) is not None
    assert rule.next_judge(likely, 0.99) is None
    assert rule.next_judge(likely, 0.01) is not None
    assert rule.next_judge([NO, *[UNASKED] * 4], 0.01) is None
    # Never without a judge's vote: a label of the teacher alone teaches nothing.
    assert rule.next_judge([UNASKED] * 5, 0.999999) is not None
    assert rule.next_judge([SILENT, *[UNASKED] * 4], 0.999999) is not None
    calls = [outcome(rule, independent(*[0.92] * 5, base=p), p)[0] for p in (0.5, 0.95, 0.99)]
    assert calls == sorted(calls, reverse=True)
    assert calls[-1] < 1.3


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.tuples(*[st.sampled_from(["yes", "no", None])] * 3), st.integers(1, 60), max_size=9
    ),
    st.floats(0.001, 0.2),
    st.lists(st.floats(0, 5), min_size=3, max_size=3),
)
def test_no_judge_is_asked_twice_and_a_settled_verdict_stays(
    patterns: dict[Any, int], risk: float, prices: list[float]
) -> None:
    rule = StoppingRule(patterns, 3, risk, prices)
    exact = StoppingRule(patterns, 3, 0.0, prices)
    for pattern in product(("yes", "no", None), repeat=3):
        verdict, asked = rule.replay(pattern)
        assert len(set(asked)) == len(asked) > 0
        poll = Poll(3)
        for judge in asked:
            poll.add(str(judge), pattern[judge])
        if poll.settled:
            assert verdict == poll.verdict
        assert exact.replay(pattern)[0] == full_verdict(pattern)


def test_the_judge_asked_is_the_first_of_about_the_lowest_expected_cost() -> None:
    """Costs until the stop, state by state, as defined."""
    prices = [1.0, 0.3, 0.7, 0.2]
    counts = drawn(independent(0.95, 0.8, 0.9, 0.7), 400, 0)
    rule = StoppingRule(counts | {("yes", "yes", None, "no"): 9}, 4, 0.05, prices)
    weights, paid = rule._weights, rule._prices

    def weight(votes: tuple[int, ...]) -> float:
        return float(
            weights[tuple(slice(None) if vote == UNASKED else vote for vote in votes)].sum()
        )

    @cache
    def cost(votes: tuple[int, ...], judge: int) -> float:
        after = [(*votes[:judge], vote, *votes[judge + 1 :]) for vote in (YES, NO, SILENT)]
        return paid[judge] + sum(weight(one) * rest(one) for one in after) / weight(votes)

    def rest(votes: tuple[int, ...]) -> float:
        asked = rule.next_judge(votes)
        return 0.0 if asked is None else cost(votes, asked)

    asked = Counter[int]()
    for votes in product((YES, NO, SILENT, UNASKED), repeat=4):
        judge = rule.next_judge(votes)
        if judge is not None:
            costs = {one: cost(votes, one) for one in range(4) if votes[one] == UNASKED}
            good = 1.01 * min(costs.values())
            assert judge == next(one for one, found in costs.items() if found <= good)
            asked[judge] += 1
    assert len(asked) == 4


def audit_rows(counts: dict[Any, int]) -> list[AuditRow]:
    patterns = [pattern for pattern, count in sorted(counts.items()) for _ in range(count)]
    return [AuditRow(pattern, None, number % 5) for number, pattern in enumerate(patterns)]


def test_few_audit_rows_leave_the_settled_rule() -> None:
    checked = CheckedRule(audit_rows(drawn(PANELS["independent, .95"], 74, 0)), 5, 0.01, EQUAL)
    assert checked.risk == 0
    assert outcome(checked.rule.stopping, PANELS["independent, .95"])[1] == 0
    checked = CheckedRule(audit_rows(drawn(PANELS["independent, .95"], 75, 0)), 5, 0.01, EQUAL)
    assert checked.risk == 0.01


def test_a_rule_that_its_own_audit_rows_contradict_is_tightened() -> None:
    """Every fold's rows vote otherwise than the others': each looks safe from outside."""
    rows = [AuditRow(("yes",) * 5, None, number % 4) for number in range(80)]
    rows += [AuditRow(("yes", "yes", "no", "no", "no"), None, 4) for _ in range(20)]
    assert CheckedRule(rows, 5, 0.01, EQUAL).risk == 0
    assert CheckedRule(rows[:80], 5, 0.01, EQUAL).risk == 0.01
