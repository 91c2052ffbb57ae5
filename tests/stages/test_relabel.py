"""Relabelling: requests to judges, early stopping, and the fields of a row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.source_labels import SourceLabelJudge
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import ProviderError, RowError
from prism_cli.ports import Reply
from prism_cli.stages.relabel import RelabelStage
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import ScriptedServer


@dataclass(eq=False)
class ScriptedJudge(ScriptedServer):
    """Remote judge: votes by document, "yes" by default."""

    spec: str
    votes: dict[str, Any] = field(default_factory=dict)
    concurrency: int = 4
    asked: list[Any] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return f"judge {self.spec}"

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        ((pair, attempt),) = payloads
        self.asked.append(pair)
        step = self.votes.get(pair[1], "yes")
        if isinstance(step, list):
            step = step[attempt]
        if isinstance(step, Exception):
            raise step
        return [step if isinstance(step, Reply) else Reply({"vote": step})]


@dataclass
class RowVoter(SourceLabelJudge):
    """Judge that reads its vote from a field of the row."""

    spec: str

    def vote(self, row: dict[str, Any]) -> Any:
        if row.get(self.spec) == "bad":
            raise RowError(self.spec, "bad")
        return row.get(self.spec)


def relabelled(rows: list[dict[str, Any]], judges: Sequence[Any], **more: Any) -> Any:
    stage = RelabelStage(judges, **more)
    summary = run_rows(
        stage, [str(write_jsonl(Path("in.jsonl"), rows))], RunOptions(Path("out.jsonl"), quiet=True)
    )
    return read_jsonl(Path("out.jsonl")) if summary.outputs else [], summary


def panel(*votes: Any) -> tuple[list[RowVoter], dict[str, Any]]:
    names = [f"j{number}" for number in range(len(votes))]
    return [RowVoter(name) for name in names], dict(zip(names, votes, strict=True))


@pytest.mark.parametrize(
    ("votes", "verdict", "cast", "agreement"),
    [
        (["yes"], "yes", 1, 1.0),
        (["yes", "yes", "yes", "no", "no"], "yes", 3, 1.0),
        (["no", "yes", "no", "yes", "no"], "no", 5, 0.6),
        (["yes", "no"], None, 2, None),
        ([None], None, 0, None),
        (["yes", None, None, None, "yes"], None, 1, None),
    ],
)
def test_fields_of_a_row(votes: list[Any], verdict: Any, cast: int, agreement: Any) -> None:
    judges, votes_of = panel(*votes)
    ((row,), _) = relabelled([make_pair(**votes_of)], judges)
    assert (row["verdict"], row["votes_cast"], row["agreement"]) == (verdict, cast, agreement)
    assert list(row["votes"].items()) == [pair for pair in votes_of.items() if pair[1]][:cast]
    assert list(row)[-4:] == ["votes", "verdict", "votes_cast", "agreement"]


def test_remote_judges_are_asked_in_turn_until_the_verdict_is_settled() -> None:
    judges = [ScriptedJudge(f"p/j{number}") for number in range(5)]
    judges[1].votes["split"] = "no"
    rows = [make_pair(0, document="clear"), make_pair(1, document="split")]
    (clear, split), summary = relabelled(rows, judges)
    assert clear["votes"] == dict.fromkeys(["p/j0", "p/j1", "p/j2"], "yes")
    assert split["votes_cast"] == 4
    assert split["agreement"] == 0.75
    assert [len(judge.asked) for judge in judges] == [2, 2, 2, 1, 0]
    assert judges[0].asked[0] == (rows[0]["query"], "clear")
    assert summary.usage.asked == 7
    rerun, second = relabelled(rows, judges)
    assert rerun == []
    assert second.usage.asked == 0


def test_a_blank_document_is_a_no_without_requests() -> None:
    judges = [ScriptedJudge(f"p/j{number}") for number in range(3)]
    rows = [make_pair(0, document="\u2060 "), make_pair(1, document="d")]
    (blank, result), summary = relabelled(rows, judges, audit=1.0)
    assert (blank["verdict"], blank["votes"], blank["votes_cast"]) == ("no", {}, 0)
    assert result["verdict"] == "yes"
    assert [len(judge.asked) for judge in judges] == [1, 1, 1]
    assert summary.figures["blank documents, no without a vote"] == 1
    assert summary.figures["judgements"] == {"made": 3, "spared by stopping early": 0}
    Path("out.jsonl").unlink()
    Path("out.jsonl.manifest.json").unlink()
    ((row,), _) = relabelled([make_pair(document="", j0="yes")], [RowVoter("j0")])
    assert row["verdict"] == "no"


def test_refused_and_unreadable_replies_are_abstentions_never_a_no() -> None:
    judges = [ScriptedJudge(f"p/j{number}") for number in range(3)]
    judges[0].votes["d"] = Reply({}, refusal="content filter")
    judges[1].votes["d"] = Reply({"vote": "perhaps"})
    ((row,), summary) = relabelled([make_pair(document="d")], judges)
    assert (row["verdict"], row["votes"]) == (None, {})
    assert len(judges[2].asked) == 0  # undecidable: one vote cannot be two of three
    assert summary.figures["verdicts"] == {"yes": 0, "no": 0, "undecided": 1}
    assert summary.figures["why judges abstained"] == [
        {"judge": "p/j0", "rows": 1, "why": "content filter"}
    ]


def test_a_judge_with_mostly_unusable_answers_is_warned_about() -> None:
    cut = Reply({"unusable": "expected yes or no, found 'Let me', cut at 8 tokens"})
    judge = ScriptedJudge("p/j", {"a": [cut] * 3, "b": [cut] * 3, "c": Reply({}, refusal="filter")})
    rows = [make_pair(number, document=text) for number, text in enumerate("abcd")]
    _, summary = relabelled(rows, [judge, RowVoter("empty")])
    warning = summary.figures["warning"]
    assert "p/j gave no usable answer for 3 of 4 rows (75%), most often: 3 replies" in warning
    assert "found 'Let me', cut at 8 tokens. Take another model" in warning
    assert "--fresh" in warning
    assert summary.exit_code == 0
    assert warning.startswith("no row got a verdict; p/j gave")
    assert "empty gave no vote, as no row has a source_label. Take other judges" in warning


def test_a_label_that_some_rows_have_is_not_warned_about() -> None:
    rows = [make_pair(number, own=vote) for number, vote in enumerate(["yes", None, None])]
    _, summary = relabelled(rows, [RowVoter("own")])
    assert "warning" not in summary.figures
    assert summary.exit_code == 0


def test_a_judge_with_half_unusable_answers_is_not_warned_about() -> None:
    judge = ScriptedJudge("p/j", {"a": Reply({}, refusal="filter")})
    _, summary = relabelled([make_pair(0, document="a"), make_pair(1, document="b")], [judge])
    assert "warning" not in summary.figures


def test_failed_judge_leaves_the_row_pending() -> None:
    judge = ScriptedJudge("p/j", {"d": ProviderError("p/j: 503")})
    rows, summary = relabelled([make_pair(document="d")], [judge])
    assert rows == []
    assert (summary.exit_code, summary.counts.pending) == (5, 1)


def test_probabilities_are_written_beside_votes() -> None:
    judge = ScriptedJudge("p/j", {"d": Reply({"vote": "no", "probability": 0.2})})
    ((row,), _) = relabelled([make_pair(document="d")], [judge])
    assert row["vote_probabilities"] == {"p/j": 0.2}


def test_audit_rows_have_every_vote_and_are_marked() -> None:
    judges, votes_of = panel("yes", "yes", "yes", "no", "no")
    rows, summary = relabelled(make_pairs(400, **votes_of), judges, audit=0.25)
    audited = [row for row in rows if row.get("audit")]
    assert 60 < len(audited) < 140
    assert summary.figures["audit rows"] == len(audited)
    assert {(row["votes_cast"], row["audit_share"]) for row in audited} == {(5, 0.25)}
    assert {row["votes_cast"] for row in rows if "audit" not in row} == {3}
    assert {row["verdict"] for row in rows} == {"yes"}


def test_agreement_is_computed_from_audit_rows_only() -> None:
    """Stopped rows have the last judge only if the others differ; a random judge agrees in half."""
    judges, _ = panel("yes", "yes", "yes")
    cycle = [("yes", "yes", "no"), ("no", "no", "no"), ("yes", "no", "no"), ("no", "yes", "yes")]
    rows = [
        make_pair(number, **dict(zip(("j0", "j1", "j2"), cycle[number % 4], strict=True)))
        for number in range(400)
    ]
    output, summary = relabelled(rows, judges, audit=0.3)
    audited = [row["votes"] for row in output if row.get("audit")]
    figures: Any = summary.figures
    assert figures["audit rows"] == len(audited) > 50
    rates = figures["yes-rates on audit rows"]
    assert [(rate["judge"], rate["votes"]) for rate in rates] == [
        (name, len(audited)) for name in ("j0", "j1", "j2")
    ]
    for rate in rates:
        share = sum(votes[rate["judge"]] == "yes" for votes in audited) / len(audited)
        assert rate["yes"] == pytest.approx(share, abs=1e-4)
    pairs = figures["kappa on audit rows"]
    assert [(pair["judge"], pair["with"]) for pair in pairs] == [
        ("j0", "j1"),
        ("j0", "j2"),
        ("j1", "j2"),
    ]
    same = sum(votes["j1"] == votes["j2"] for votes in audited) / len(audited)
    assert pairs[2]["same vote"] == pytest.approx(same, abs=1e-4)
    assert pairs[2]["kappa"] > 0.3 > 0 > pairs[1]["kappa"]
    assert pairs[2]["95% from"] < pairs[2]["kappa"] < pairs[2]["to"]
    assert pairs[1]["in words"] == "no better than chance"
    alpha = figures["Krippendorff's alpha on audit rows"]
    assert alpha["rows"] == len(audited)
    assert alpha["95% from"] < alpha["alpha"] < alpha["to"]
    assert alpha["labels of such a panel"] == "unreliable"


def test_without_audit_rows_there_is_no_agreement() -> None:
    judges, votes_of = panel("yes", "no", "yes")
    _, summary = relabelled(make_pairs(20, **votes_of), judges)
    assert not [name for name in summary.figures if "audit" in name]
    Path("out.jsonl").unlink()
    _, summary = relabelled(make_pairs(3, **votes_of), judges, audit=1e-9)
    assert summary.figures["audit rows"] == 0
    assert [name for name in summary.figures if "audit" in name] == ["audit rows"]


def test_a_single_judge_has_no_audit_rows() -> None:
    judges, votes_of = panel("yes")
    rows, _ = relabelled(make_pairs(20, **votes_of), judges, audit=1.0)
    assert not any("audit" in row for row in rows)


def test_fields_of_an_earlier_panel_are_replaced() -> None:
    judges, votes_of = panel("no")
    row = make_pair(
        **votes_of, votes={"x": "yes"}, verdict="yes", audit=True, vote_probabilities={}
    )
    row["reused"] = {"votes.x": "old.jsonl", "teacher_scores.t": "scores.jsonl"}
    ((result,), _) = relabelled([row], judges)
    assert result["reused"] == {"teacher_scores.t": "scores.jsonl"}
    assert result["votes"] == {"j0": "no"}
    assert result["verdict"] == "no"
    assert "audit" not in result
    assert "vote_probabilities" not in result


def test_a_row_that_a_judge_cannot_read_is_rejected_and_not_counted() -> None:
    judges, _ = panel("yes", "yes")
    rows = [make_pair(0, j0="yes", j1="bad"), make_pair(1, j0="yes", j1="yes")]
    output, summary = relabelled(rows, judges)
    assert len(output) == 1
    assert summary.counts.rejected == 1
    assert summary.figures["votes"][0] == {"judge": "j0", "yes": 1, "no": 0, "abstained": 0}


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("votes", ["yes"], "votes"),
        ("votes", {"j0": "perhaps"}, "votes.j0"),
        ("vote_probabilities", "0.5", "vote_probabilities"),
        ("vote_probabilities", {"j0": 1.5}, "vote_probabilities.j0"),
    ],
)
def test_malformed_votes_cannot_be_kept(field: str, value: Any, place: str) -> None:
    judges, votes_of = panel("yes", "yes")
    row = make_pair(**votes_of, **{field: value})
    (before,), _ = relabelled([row], judges)  # no earlier panel: they are replaced
    assert before["votes"] == {"j0": "yes", "j1": "yes"}
    Path("out.jsonl").unlink()
    rows, summary = relabelled([row], judges, added=["j1"])
    assert (rows, summary.counts.rejected) == ([], 1)
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert rejected["field"] == place
