"""What labelled rows come to: which rows tell of agreement, and what they tell."""

import random
from typing import Any

import pytest

from prism_cli.errors import RowError
from prism_cli.evaluation.labels.figures import MOST_SOURCES, OTHER_SOURCES, LabelFigures
from prism_cli.evaluation.labels.top_disagreements import TopDisagreements
from tests.factories import make_pair

JUDGES = ("a/one", "a/two", "a/three")


def measured(rows: list[dict[str, Any]], review: int = 100) -> LabelFigures:
    found = LabelFigures(0, review)
    for row in rows:
        found.check(row)
        found.add(row)
    return found


def content_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return measured(rows).content()


def labelled(number: int, votes: str, **more: Any) -> dict[str, Any]:
    """A row with votes such as "yn-": yes, no, none."""
    words = {"y": "yes", "n": "no"}
    cast = {judge: words[vote] for judge, vote in zip(JUDGES, votes, strict=False) if vote in words}
    verdict = next((one for one in ("yes", "no") if list(cast.values()).count(one) > 1), None)
    return make_pair(number, votes=cast, **({"verdict": verdict} | more))


def stopped(rows: int, *, audit: bool) -> list[dict[str, Any]]:
    """A panel of three that stops at two equal votes: one right in nine of ten, two in eight, three
    in seven."""
    dice = random.Random(5)
    found = []
    for number in range(rows):
        truth = dice.random() < 0.4
        votes = "".join("yn"[(dice.random() < odd) != truth] for odd in (0.9, 0.8, 0.7))
        by_lot = dice.random() < 0.3 and audit
        if not by_lot and votes[0] == votes[1]:
            votes = votes[:2]
        found.append(labelled(number, votes, **({"audit": True} if by_lot else {})))
    return found


def test_agreement_is_that_of_audit_rows_alone() -> None:
    rows = stopped(4000, audit=True)
    content = content_of(rows)
    labels, statistics = content["labels"], content["statistics"]
    audited = [row for row in rows if row.get("audit")]
    assert statistics["basis"] == {"kind": "audit", "rows": len(audited), "warning": ""}
    same = [row["votes"]["a/one"] == row["votes"]["a/three"] for row in audited]
    assert labels["same_vote"]["a/one | a/three"] == sum(same) / len(audited)
    assert labels["same_vote"]["a/one | a/three"] == pytest.approx(0.9 * 0.7 + 0.1 * 0.3, abs=0.04)
    third = [row["votes"]["a/three"] == "yes" for row in audited]
    assert labels["yes_rate"]["a/three"] == sum(third) / len(third)
    low, high = statistics["intervals"]["yes_rate"]["a/three"]
    assert low < labels["yes_rate"]["a/three"] < high
    low, high = statistics["intervals"]["alpha"]
    assert low < labels["alpha"] < high
    # Of all rows with three votes, most are those where the first two differed.
    every = [row["votes"] for row in rows if len(row["votes"]) == 3]
    told_of_all = sum(votes["a/one"] == votes["a/two"] for votes in every) / len(every)
    assert told_of_all < labels["same_vote"]["a/one | a/two"] - 0.1
    majority = [
        row["votes"]["a/three"] == row["votes"]["a/one"]
        for row in audited
        if row["votes"]["a/one"] == row["votes"]["a/two"]
    ]
    assert labels["with_majority"]["a/three"] == sum(majority) / len(majority)
    assert labels["disputed"] == sum(len(set(row["votes"].values())) > 1 for row in audited) / len(
        audited
    )


def test_without_audit_rows_only_judges_that_always_voted_are_told_of() -> None:
    content = content_of(stopped(500, audit=False))
    labels, basis = content["labels"], content["statistics"]["basis"]
    assert basis["kind"] == "part of the panel"
    assert "a/three did not vote on all of the rows" in basis["warning"]
    assert "among a/one, a/two" in basis["warning"]
    assert "prism relabel --audit" in basis["warning"]
    assert labels["kappa"]["a/one | a/two"] is not None
    assert labels["kappa"]["a/one | a/three"] is labels["kappa"]["a/two | a/three"] is None
    assert labels["alpha"] is labels["disputed"] is None
    assert labels["yes_rate"]["a/three"] is None
    assert labels["yes_rate_all_votes"]["a/three"] is not None


def test_a_panel_that_never_stopped_is_told_of_whole() -> None:
    rows = [labelled(number, "ynyyyn nnnyny"[number % 2 * 7 :][:3]) for number in range(40)]
    content = content_of(rows)
    assert content["statistics"]["basis"] == {"kind": "full panel", "rows": 40, "warning": ""}
    assert content["labels"]["alpha"] is not None
    one_short = [*rows[:-1], labelled(99, "yy")]
    assert content_of(one_short)["labels"]["alpha"] is None


def test_where_nobody_voted_on_all_rows_nothing_is_told() -> None:
    content = content_of([labelled(0, "yy-"), labelled(1, "-nn"), labelled(2, "y-y")])
    labels, basis = content["labels"], content["statistics"]["basis"]
    assert basis["kind"] == "none"
    assert "no figure is given" in basis["warning"]
    assert set(labels["kappa"].values()) == {None}
    assert labels["yes_rate_all_votes"]["a/one"] == 1.0
    nothing = content_of([make_pair(0)])
    assert "No row holds votes" in nothing["statistics"]["basis"]["warning"]
    assert nothing["labels"]["kappa"] == {}
    assert nothing["labels"]["alpha"] is None


def test_abstentions_are_those_of_audit_rows() -> None:
    rows = [labelled(number, "yny" if number else "yn-", audit=True) for number in range(10)]
    labels = content_of([*rows, labelled(20, "yy")])["labels"]
    assert labels["abstention_rate"] == {"a/one": 0, "a/two": 0, "a/three": 0.1}


def test_judges_of_another_panel_have_not_abstained() -> None:
    rows = [labelled(number, "yn", audit=True) for number in range(10)]
    rows += [labelled(number, "y-", audit=True) for number in range(10, 15)]
    others = {"a/two": "no", "b/one": "yes"}
    rows += [make_pair(n, audit=True, votes=others, abstained=["b/two"]) for n in range(15, 20)]
    content = content_of([*rows, make_pair(20, audit=True, votes=others | {"b/two": "no"})])
    labels, counts = content["labels"], content["statistics"]["counts"]
    assert labels["abstention_rate"] == {
        "a/one": 0, "a/two": 5 / 21, "b/one": 0, "b/two": 5 / 6,
    }  # fmt: skip
    assert counts["abstention_rate"] == {"a/one": 15, "a/two": 21, "b/one": 6, "b/two": 6}


def test_the_corpus_label_is_compared() -> None:
    rows = [
        labelled(0, "yyy", audit=True, source_label=2),
        labelled(1, "nnn", audit=True, source_label=1),
        labelled(2, "yyn", audit=True, source_label="no"),
        labelled(3, "yyn", audit=True, source_label="entailment"),  # no grade
    ]
    content = content_of(rows)
    labels = content["labels"]
    assert labels["with_source_label"]["verdict"] == pytest.approx(1 / 3)
    assert labels["with_source_label"]["a/three"] == pytest.approx(2 / 3)
    assert content["statistics"]["counts"]["with_source_label"]["verdict"] == 3


def test_teacher_and_panel() -> None:
    rows = [
        labelled(0, "yyy", teacher_score=0.95, source="s"),
        labelled(1, "yyy", teacher_score=0.05, source="s"),
        labelled(2, "nnn", teacher_score=0.5, source="t"),  # .5 is no yes
        labelled(3, "nnn", teacher_score=1.0, source="t"),
        labelled(4, "yn-", teacher_score=0.31, source="t"),
        make_pair(5, teacher_score=0.7, source="t"),
    ]
    content = content_of(rows)
    labels, statistics = content["labels"], content["statistics"]
    assert labels["teacher_agreement"] == 0.5
    assert labels["teacher_auc"] == 0.25
    table = statistics["score_by_verdict"]
    assert table["yes"] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table["no"] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert table["undecided"] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert (labels["undecided"], labels["unlabelled"]) == (1, 1)
    one, other = statistics["sources"]
    assert (one["source"], one["rows"], one["yes_rate"], one["teacher_agreement"]) == (
        "s", 2, 1.0, 0.5,
    )  # fmt: skip
    assert (other["rows"], other["undecided"], other["unlabelled"], other["yes"]) == (4, 1, 1, 0)
    shown = content["examples"]
    assert [(one["doc_id"], one["disagreement"]) for one in shown["panel_yes"]] == [("d1", 0.95)]
    assert [(one["doc_id"], one["disagreement"]) for one in shown["panel_no"]] == [("d3", 1.0)]


def test_a_teacher_that_judges_too_is_named() -> None:
    scores = {"a/two": 0.3, "c": 0.9}
    content = content_of([labelled(0, "yny", teacher_scores=scores, teacher_score=0.6)])
    assert content["statistics"]["teachers_on_the_panel"] == ["a/two"]


def test_sources_beyond_what_a_table_holds_are_put_together() -> None:
    rows = [make_pair(number, source=f"s{number}") for number in range(MOST_SOURCES + 5)]
    sources = content_of(rows)["statistics"]["sources"]
    assert len(sources) == MOST_SOURCES + 1
    assert sources[0]["source"] == OTHER_SOURCES
    assert sources[0]["rows"] == 5


def test_top_disagreements_do_not_depend_on_the_order_of_rows() -> None:
    rows = [make_pair(number, query_id=f"q{number % 7}") for number in range(900)]
    off = {row["doc_id"]: (number % 30) / 30 for number, row in enumerate(rows)}
    wanted = sorted(rows, key=lambda row: (-off[row["doc_id"]], row["query_id"], row["doc_id"]))
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        top = TopDisagreements(40)
        for row in rows:
            top.add(row, off[row["doc_id"]])
        assert [row for _, row in top.rows()] == wanted[:40]
        assert len(top._entries) == 40


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"votes": ["yes"]}, "votes"),
        ({"votes": {"a": "maybe"}}, "votes.a"),
        ({"verdict": "perhaps"}, "verdict"),
        ({"audit": 1}, "audit"),
        ({"early_verdict": ["yes"]}, "early_verdict"),
        ({"early_votes_cast": "two"}, "early_votes_cast"),
        ({"audit_share": 2}, "audit_share"),
        ({"teacher_score": 1.5}, "teacher_score"),
        ({"source": 3}, "source"),
        ({"source_label": "1767225600"}, "source_label"),
        ({"votes": {f"j{number}": "yes" for number in range(65)}}, "votes"),
    ],
)
def test_what_breaks_the_contract_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(RowError) as told:
        LabelFigures(0, 0).check(make_pair(0, **changed))
    assert told.value.field == field


def test_verdicts_that_stopping_would_change_are_counted_on_audit_rows() -> None:
    early = {"audit": True, "early_votes_cast": 2}
    rows = [labelled(n, "yyn", early_verdict="yes", **early) for n in range(99)]
    rows += [labelled(99, "ynn", early_verdict="yes", **early)]
    rows += [labelled(n, "yy") for n in range(100, 200)]
    content = content_of(rows)
    labels, statistics = content["labels"], content["statistics"]
    assert (labels["changed_verdicts"], labels["early_votes_per_row"]) == (0.01, 2)
    assert labels["votes_per_row"] == 2.5
    low, high = statistics["intervals"]["changed_verdicts"]
    assert (low, high) == pytest.approx((0.000253, 0.054459), abs=1e-5)  # Clopper and Pearson
    assert statistics["counts"]["changed_verdicts"] == 100
    other = content_of(rows[100:])
    assert other["labels"]["changed_verdicts"] is None
    assert other["statistics"]["intervals"]["changed_verdicts"] is None


def test_scores_of_teachers_outside_their_scale_change_no_order() -> None:
    rows = [labelled(n, "yy", teacher_score=1.0) for n in range(2)]
    rows += [labelled(2, "nn", teacher_score=1.0, teacher_scores={"a": 1e308, "b": 1e308})]
    assert content_of(rows)["labels"]["teacher_auc"] == 0.5


def test_audit_rows_without_a_vote_are_counted() -> None:
    early = {"audit": True, "early_verdict": "yes", "early_votes_cast": 2}
    silent = [labelled(n, "---", **early) for n in range(30)]
    nulls = [labelled(n, "", **early) for n in range(30, 40)]
    for row in nulls:
        row["abstained"] = list(JUDGES)
    content = content_of([*silent, *nulls, *(labelled(n, "yyy", **early) for n in range(40, 100))])
    labels, counts = content["labels"], content["statistics"]["counts"]
    assert (labels["audit_rows"], labels["rows_with_votes"], labels["votes_per_row"]) == (
        100, 60, 3,
    )  # fmt: skip
    assert labels["abstention_rate"] == dict.fromkeys(JUDGES, 0.4)
    assert (labels["changed_verdicts"], counts["changed_verdicts"]) == (0.4, 100)
    nobody = content_of([row | {"votes": {}} for row in silent])
    assert nobody["statistics"]["basis"]["kind"] == "none"


def test_audit_rows_count_by_the_share_with_which_they_were_drawn() -> None:
    def shard(votes: str, share: float, rows: int, early: str) -> list[dict[str, Any]]:
        drawn = {"audit": True, "audit_share": share, "early_votes_cast": 2}
        return [labelled(n, votes, early_verdict=early, **drawn) for n in range(rows)]

    rows = [*shard("yny", 0.25, 75, "no"), *shard("nn-", 0.03, 300, "no")]
    content = content_of(rows)
    labels, statistics = content["labels"], content["statistics"]
    assert labels["audit_rows"] == 375
    assert labels["yes_rate"]["a/one"] == pytest.approx(300 / 10_300)
    assert labels["with_majority"]["a/two"] == pytest.approx(10_000 / 10_300)
    assert labels["disputed"] == labels["changed_verdicts"] == pytest.approx(300 / 10_300)
    assert labels["abstention_rate"] == {
        "a/one": 0, "a/two": 0, "a/three": pytest.approx(10_000 / 10_300),
    }  # fmt: skip
    tell = round(10_300**2 / (75 * 4**2 + 300 / 0.03**2))
    assert statistics["basis"]["rows"] == statistics["counts"]["changed_verdicts"] == tell == 317
    low, high = statistics["intervals"]["yes_rate"]["a/one"]
    assert low < 300 / 10_300 < high < 0.06
    for row in rows[:75]:
        row["audit_share"] = None  # unknown: of an earlier version
    assert content_of(rows)["labels"]["yes_rate"]["a/one"] == 0.2
