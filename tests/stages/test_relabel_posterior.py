"""`relabel --stop posterior`: what it learns first, what a row says, and that the bytes depend on
the shard, the settings and the replies alone."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from prism_cli.domain.source_labels import SourceLabelJudge
from prism_cli.domain.voting import reach_probabilities
from prism_cli.engine.forecast import forecast
from prism_cli.engine.run_plan import plan_run
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import LimitReachedError, ProviderError
from prism_cli.ports import Reply, Usage
from prism_cli.stages.panel_stopping import PanelStopping, audit_rows, learned_rows
from prism_cli.stages.relabel import RelabelStage
from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl
from tests.fakes import ScriptedServer

ROWS, LEARNED, OUT = 300, 75, Path("out.jsonl")
SPECS = [f"p/j{number}" for number in range(5)]


def truth(document: str) -> bool:
    return random.Random(document).random() < 0.4


def vote(spec: str, document: str, right: float = 0.94) -> str:
    is_right = random.Random(f"{spec} {document}").random() < right
    return "yes" if truth(document) == is_right else "no"


@dataclass(eq=False)
class ServedJudge(ScriptedServer):
    """Judge of a server: right in .94, or as scripted by document; replies come in any order."""

    spec: str
    script: dict[str, Any] = field(default_factory=dict)
    concurrency: int = 24
    pause: random.Random | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return f"judge {self.spec}"

    async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        (((_, document), _attempt),) = payloads
        self.asked.append(document)
        if self.pause:
            await asyncio.sleep(self.pause.random() / 500)
        step = self.script.get(document, vote(self.spec, document))
        if isinstance(step, Exception):
            raise step
        return [step if isinstance(step, Reply) else Reply({"vote": step}, usage=Usage(1, 1, 0.01))]


@dataclass(eq=False)
class LocalJudge:
    """Judge in this process, whose batches depend on what is asked together."""

    spec: str
    asked: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return f"local {self.spec}"

    def plan(self, payloads: Sequence[Any]) -> list[list[int]]:
        return [list(range(start, min(start + 16, len(payloads))))
                for start in range(0, len(payloads), 16)]  # fmt: skip

    def answer(self, payloads: Sequence[Any]) -> list[Reply]:
        documents = [document for (_, document), _ in payloads]
        self.asked += documents
        return [Reply({"vote": vote(self.spec, document)}) for document in documents]


def pairs(count: int = ROWS, **more: Any) -> list[dict[str, Any]]:
    return [make_pair(n, document=f"document {n}", **more) for n in range(count)]


def run(
    judges: Sequence[Any], rows: list[dict[str, Any]] | None = None, name: str = "in.jsonl",
    *, audit: float = 0.02, teacher: bool = False, added: Sequence[str] = (), **more: Any,
) -> Any:  # fmt: skip
    specs = [judge.spec for judge in judges]
    stopping = PanelStopping(specs, [1.0] * len(judges), risk=0.01, audit=audit, teacher=teacher)
    stage = RelabelStage(judges, audit=audit, added=added, stopping=stopping)
    path = write_jsonl(Path(name), pairs() if rows is None else rows)
    return run_rows(stage, [str(path)], RunOptions(more.pop("out", OUT), quiet=True, **more))


def panel(**more: Any) -> list[ServedJudge]:
    return [ServedJudge(spec, **more) for spec in SPECS]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any, int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        patch.setenv("PRISM_STATE", "state")
        judges = panel()
        summary = run(judges)
        return OUT.read_bytes(), summary, sum(len(judge.asked) for judge in judges)


def test_fewer_votes_for_almost_the_same_verdicts(undisturbed: Any) -> None:
    Path("made.jsonl").write_bytes(undisturbed[0])
    rows, figures = read_jsonl(Path("made.jsonl")), undisturbed[1].figures
    stops = Counter(row["stop"] for row in rows)
    assert stops["audit"] == learned_rows(ROWS) == LEARNED
    assert figures["rows by what ended the asking"] == {**stops}
    by_stop = {stop: [row for row in rows if row["stop"] == stop] for stop in stops}
    assert {row["votes_cast"] for row in by_stop["audit"]} == {5}
    assert {row["votes_cast"] for row in by_stop["risk"]} == {2}
    assert {row["votes_cast"] for row in by_stop["settled"]} <= {3, 4, 5}
    assert undisturbed[2] == sum(row["votes_cast"] for row in rows)
    a_row = figures["judgements a row"]
    assert a_row["all rows"] == pytest.approx(undisturbed[2] / ROWS, abs=1e-4)
    assert a_row["without audit rows"] < 2.4 < a_row["all rows"] < 3.1
    changed = 0
    for row in rows:
        full = [vote(spec, row["document"]) for spec in SPECS]
        changed += row["verdict"] != max(full, key=full.count)
        assert (row["posterior"] > 0.5) == (row["verdict"] == "yes")
        assert row["agreement"] == list(row["votes"].values()).count(row["verdict"]) / len(
            row["votes"]
        )
    assert changed <= 0.02 * ROWS


def test_audit_rows_say_what_the_rule_would_have_said(undisturbed: Any) -> None:
    Path("made.jsonl").write_bytes(undisturbed[0])
    rows, figures = read_jsonl(Path("made.jsonl")), undisturbed[1].figures
    audited = [row for row in rows if row["stop"] == "audit"]
    assert {"early_verdict", "early_votes_cast"} <= set(audited[0])
    assert not any("early_verdict" in row for row in rows if row["stop"] != "audit")
    changed = sum(row["early_verdict"] != row["verdict"] for row in audited)
    found = figures["changed verdicts on audit rows"]
    assert (found["rows"], found["changed"]) == (LEARNED, changed)
    assert found["95% from"] <= found["share"] <= found["to"] < 0.15
    early = sum(row["early_votes_cast"] for row in audited) / len(audited)
    assert figures["judgements a row"]["audit rows, as the rule asks"] == pytest.approx(
        early, abs=1e-4
    )
    assert early < 2.6
    rates = figures["judges, as their votes on audit rows tell"]
    assert [rate["judge"] for rate in rates] == SPECS
    assert all(0.8 < rate["sensitivity"] <= 1 for rate in rates)
    assert all(rate["abstains"] < 0.01 for rate in rates)


def test_bytes_do_not_depend_on_the_order_of_replies(undisturbed: Any) -> None:
    run(panel(pause=random.Random(5), concurrency=6))
    assert OUT.read_bytes() == undisturbed[0]


@pytest.mark.parametrize("replies", [30, 400])
def test_a_stopped_run_goes_on_without_paying_twice(undisturbed: Any, replies: int) -> None:
    judges = panel(concurrency=8)
    with pytest.raises(LimitReachedError):
        run(judges, max_cost=replies / 100)
    assert run(judges).exit_code == 0
    assert OUT.read_bytes() == undisturbed[0]
    asked = Counter((judge.spec, document) for judge in judges for document in judge.asked)
    assert set(asked.values()) == {1}
    assert asked.total() == undisturbed[2]


def test_other_rows_wait_for_too_many_missing_audit_rows(undisturbed: Any) -> None:
    judges = panel()
    judges[3].script = {f"document {n}": ProviderError("503") for n in range(ROWS)}
    summary = run(judges)
    assert (summary.exit_code, summary.counts.pending) == (5, ROWS)
    assert "waits for 75 of 75 audit rows" in str(summary.pending_reasons)
    assert {len(judge.asked) for judge in judges} == {LEARNED}
    judges[3].script.clear()
    assert run(judges).exit_code == 0
    assert OUT.read_bytes() == undisturbed[0]


def test_a_single_missing_audit_row_is_pending_alone(undisturbed: Any) -> None:
    Path("made.jsonl").write_bytes(undisturbed[0])
    made = read_jsonl(Path("made.jsonl"))
    document = next(row["document"] for row in made if row["stop"] == "audit")
    judges = panel()
    judges[4].script[document] = ProviderError("503")
    assert run(judges).counts.pending == 1
    judges[4].script.clear()
    assert run(judges).exit_code == 0
    assert OUT.read_bytes() == undisturbed[0]


def test_replies_of_local_judges_are_used_again() -> None:
    judges = [LocalJudge(f"hf:j{number}") for number in range(5)]
    summary = run(judges)
    first = OUT.read_bytes()
    asked = [len(judge.asked) for judge in judges]
    assert asked == [len(set(judge.asked)) for judge in judges]
    assert (sum(asked), summary.usage.from_ledger) == (summary.usage.asked, 0)
    OUT.unlink()
    Path("out.jsonl.manifest.json").unlink()
    assert run(judges).usage.asked == 0
    assert OUT.read_bytes() == first


def test_shards_do_not_depend_on_each_other() -> None:
    for number, part in enumerate((pairs(330)[:300], pairs(330)[300:])):
        run(panel(), part, f"{number}.jsonl", out=Path(f"alone{number}.jsonl"))
    stopping = PanelStopping(SPECS, [1.0] * 5, risk=0.01, audit=0.02)
    stage = RelabelStage(panel(), audit=0.02, stopping=stopping)
    Path("both").mkdir()
    run_rows(stage, ["0.jsonl", "1.jsonl"], RunOptions(Path("both"), quiet=True))
    for number in range(2):
        (made,) = Path("both").glob(f"{number}.*jsonl")
        assert made.read_bytes() == Path(f"alone{number}.jsonl").read_bytes()
        shares = {row["audit_share"] for row in read_jsonl(made) if "audit" in row}
        assert shares == {(0.25, 0.02)[number]}
    figures: Any = stage.summary()
    assert figures["rows by what ended the asking"]["audit"] == figures["audit rows"] == 76
    # One row stands for 50, 75 rows for 4 each.
    tell = round((75 * 4 + 50) ** 2 / (75 * 4**2 + 50**2))
    assert figures["audit rows of one share that would tell as much"] == tell == 33
    assert {pair["rows"] for pair in figures["kappa on audit rows"]} == {33}
    found = figures["changed verdicts on audit rows"]
    changed = [
        (row["early_verdict"] != row["verdict"]) / row["audit_share"]
        for made in Path("both").glob("*.jsonl")
        for row in read_jsonl(made)
        if "audit" in row
    ]
    assert (found["rows"], found["changed"]) == (76, sum(map(bool, changed)))
    assert found["share"] == pytest.approx(sum(changed) / 350, abs=1e-4)


def test_few_rows_are_asked_as_ever() -> None:
    judges = panel()
    run(judges, pairs(100))
    rows = read_jsonl(OUT)
    assert {row["stop"] for row in rows} == {"settled", "audit"}
    assert {row["votes_cast"] for row in rows if row["stop"] == "settled"} <= {3, 4, 5}


def test_a_teacher_counts_as_a_vote() -> None:
    def score(document: str) -> float:
        noise = random.Random(f"score {document}").random()
        return 0.3 + 0.6 * noise if truth(document) else 0.6 * noise

    rows = pairs()
    for row in rows:
        row["teacher_score"] = score(row["document"])
    del rows[7]["teacher_score"]
    rows[8]["teacher_scores"] = {"p/j1": 0.5}  # a judge's own score would vote twice
    summary = run(panel(), rows, teacher=True)
    made = read_jsonl(OUT)
    assert [n for n, row in enumerate(made) if "teacher_prior" not in row] == [7, 8]
    assert summary.figures["P(yes) before the votes, of rows"] == {
        "from the teacher's score": ROWS - 2, "the share of yes": 2,
    }  # fmt: skip
    sure = [row for row in made if row["votes_cast"] == 1]
    assert len(sure) > 20
    assert all(abs(row["teacher_prior"] - 0.5) > 0.3 for row in sure)
    assert summary.figures["judgements a row"]["without audit rows"] < 2.2
    full = [[vote(spec, row["document"]) for spec in SPECS] for row in made]
    pairs_of = zip(made, full, strict=True)
    assert sum(row["verdict"] != max(votes, key=votes.count) for row, votes in pairs_of) <= 4


def test_abstentions_are_no_votes_and_blank_documents_are_not_learned_from() -> None:
    judges = panel()
    for number in range(ROWS + 20):
        judges[0].script[f"document {number}"] = Reply({}, refusal="content filter")
    rows = pairs(ROWS + 20)
    for row in rows[:20]:
        row["document"] = " "
    run(judges, rows)
    made = read_jsonl(OUT)
    assert {(row["verdict"], row.get("stop")) for row in made[:20]} == {("no", None)}
    assert not any(row["votes"].get("p/j0") for row in made)
    # On audit rows every judge was asked, so that a missing vote is said to be an abstention.
    for row in (row for row in made if row.get("audit")):
        assert (row["abstained"], len(row["votes"])) == (["p/j0"], 4)
        assert row["agreement"] == list(row["votes"].values()).count(row["verdict"]) / 4
    assert {len(row["votes"]) - row["votes_cast"] for row in made} == {0}
    assert not any("abstained" in row for row in made if not row.get("audit"))
    earlier, missing = audit_rows([(row, ()) for row in made], SPECS)
    assert (len(earlier), missing) == (audited := sum("audit" in row for row in made), Counter())
    # A judge that says nothing brings nothing: beside audit rows it is asked last.
    assert audited <= len(judges[0].asked) < audited + 15


def test_an_added_judge_votes_on_every_row() -> None:
    rows = pairs()
    for row in rows:
        row["votes"] = {spec: vote(spec, row["document"]) for spec in SPECS[:2]}
    judges = panel()
    run(judges, rows, added=SPECS[4:])
    made = read_jsonl(OUT)
    assert all(set(SPECS[:2]) | {"p/j4"} <= set(row["votes"]) for row in made)
    assert (len(judges[0].asked), len(judges[4].asked)) == (0, ROWS)
    assert LEARNED <= len(judges[2].asked) < ROWS / 2


def test_the_label_of_the_row_is_a_judge_that_costs_nothing() -> None:
    rows = [row | {"source_label": int(truth(row["document"]))} for row in pairs()]
    judges = [*panel()[:2], SourceLabelJudge("source", 1)]
    stopping = PanelStopping(
        [judge.spec for judge in judges], [1.0, 1.0, 0.0], risk=0.01, audit=0.02
    )
    stage = RelabelStage(judges, audit=0.02, stopping=stopping)
    run_rows(stage, [str(write_jsonl(Path("in.jsonl"), rows))], RunOptions(OUT, quiet=True))
    assert all("source" in row["votes"] for row in read_jsonl(OUT))


def test_fields_of_an_earlier_run_are_replaced() -> None:
    row = make_pair(votes={}, posterior=0.1, stop="risk", early_verdict="no", early_votes_cast=2)
    stage = RelabelStage(panel())
    run_rows(stage, [str(write_jsonl(Path("in.jsonl"), [row]))], RunOptions(OUT, quiet=True))
    assert not {"posterior", "stop", "early_verdict"} & set(read_jsonl(OUT)[0])


def test_audit_rows_of_an_earlier_output_spare_a_small_shard_its_own(undisturbed: Any) -> None:
    Path("made.jsonl").write_bytes(undisturbed[0])
    earlier, _ = audit_rows([(row, ()) for row in read_jsonl(Path("made.jsonl"))], SPECS)
    assert len(earlier) == LEARNED
    rows = [make_pair(n, document=f"another {n}") for n in range(100)]
    judges = panel()
    stopping = PanelStopping(SPECS, [1.0] * 5, risk=0.01, audit=0.02, earlier=earlier)
    stage = RelabelStage(judges, audit=0.02, stopping=stopping)
    path = write_jsonl(Path("in.jsonl"), rows)
    planned = forecast(plan_run(stage, [str(path)], RunOptions(OUT)))
    run_rows(stage, [str(path)], RunOptions(OUT, quiet=True))
    made = read_jsonl(OUT)
    assert sum(row["stop"] == "audit" for row in made) == 2
    asked = sum(len(judge.asked) for judge in judges)
    assert asked < 260
    assert sum(model.calls for model in planned.models) == pytest.approx(asked, rel=0.12)


def test_any_order_of_a_long_pilot_gives_the_same_random_rows() -> None:
    pilot: list[tuple[Any, tuple[str, ...]]] = [
        (make_pair(n, audit=True, votes=dict.fromkeys(SPECS, "yes" if n < 2000 else "no")), ())
        for n in range(4100)
    ]
    earlier, _ = audit_rows(pilot, SPECS)
    assert len(earlier) == 2000
    assert audit_rows([*pilot[::-1], *pilot[:5]], SPECS)[0] == earlier
    assert sum(row.pattern[0] == "yes" for row in earlier.values()) == pytest.approx(976, abs=60)


def test_a_row_of_the_pilot_counts_once_and_is_judged_by_a_rule_that_has_not_seen_it() -> None:
    rows = pairs()
    pilot = [(row | {"audit": True, "votes": {spec: vote(spec, row["document"]) for spec in SPECS}},
              ()) for row in rows[:150]]  # fmt: skip
    earlier, _ = audit_rows(pilot, SPECS)
    stopping = PanelStopping(SPECS, [1.0] * 5, risk=0.01, audit=0.3, earlier=earlier)
    stopping.choose(rows)
    own = [row for row in rows if stopping.learns(row)]
    for row in own:
        stopping.learn(row, tuple(vote(spec, row["document"]) for spec in SPECS))
    stopping.finish()
    learned = {row["document"] for row in own} | {row["document"] for row in rows[:150]}
    checked = stopping._checked
    assert checked is not None
    assert checked.rule.stopping.audited == len(learned) < len(own) + 150
    for row in rows:
        assert (stopping._rule_of(row) is checked.rule) == (row["document"] not in learned)


def test_a_forecast_counts_the_votes_on_audit_rows() -> None:
    stopping = PanelStopping(SPECS, [1.0] * 5, risk=0.01, audit=0.02)
    stage = RelabelStage(panel(), audit=0.02, stopping=stopping)
    path = write_jsonl(Path("in.jsonl"), pairs())
    planned = forecast(plan_run(stage, [str(path)], RunOptions(OUT)))
    # Nothing is known of the judges: .83 is assumed, at which verdicts are settled first.
    expected = (ROWS - LEARNED) * sum(reach_probabilities([0.83] * 5)) + LEARNED * 5
    assert sum(model.calls for model in planned.models) == pytest.approx(expected, rel=0.02)


def test_status_counts_the_audit_rows_that_are_learned_from_first() -> None:
    class Slow(ServedJudge):
        said: tuple[str, dict[str, Any]] | None = None

        async def answer(self, payloads: Sequence[Any]) -> list[Reply]:
            if self.said is None:
                self.said = "", {}
                await asyncio.sleep(0.9)  # the others are answered; the heartbeat is renewed
                entry = json.loads(prism("status", "out.jsonl", "--json").stdout)["outputs"][0]
                self.said = prism("status", "out.jsonl").stdout, entry
            return await super().answer(payloads)

    judges = [*panel()[:4], Slow(SPECS[4])]
    run(judges)
    text, entry = judges[4].said  # type: ignore[attr-defined]
    assert "audit rows first: 74 of 75 through; no other row yet (of 300)" in " ".join(text.split())
    assert entry["learning"] == {"through": 74, "total": 75}
    assert (entry["through"], entry["total"], entry["seconds_left"]) == (0, 300, None)


def test_rows_that_are_rejected_later_are_not_among_those_that_are_learned_from() -> None:
    rows = [row | {"source_label": int(truth(row["document"]))} for row in pairs(400)]
    for number in range(0, 400, 10):
        rows[number]["source_label"] = "perhaps"
        rows[number + 5] |= {"query_id": rows[1]["query_id"], "query": "another"}
    judges = [*panel()[:4], SourceLabelJudge("source", 1)]
    summary = run(judges, rows)
    assert summary.counts.rejected == 80
    figures = summary.figures
    assert figures["rows by what ended the asking"]["audit"] == figures["audit rows"] == LEARNED
    assert not any("without a rule" in name for name in figures)


@pytest.mark.parametrize(
    ("prices", "rows", "learned"),
    [([1.0] * 5, 300, 75), ([1.0, 2, 3, 4, 5], 300, 6), ([1.0, 2, 3, 4, 5], 600, 75)],
)
def test_audit_rows_are_asked_where_the_rule_pays_for_them(
    prices: list[float], rows: int, learned: int
) -> None:
    """Of five judges that are right in .95, a rule saves a call of 3.2, and an audit row costs 1.8
    more; where the later ones are dear, it saves 3 and costs 8."""
    stopping = PanelStopping(SPECS, prices, risk=0.01, audit=0.02)
    shard = pairs(rows)
    stopping.choose(shard)
    chosen = [row for row in shard if stopping.learns(row)]
    assert len(chosen) == max(learned, round(0.02 * rows))
    for row in chosen:
        stopping.learn(row, ("yes",) * 5)
    too_few = "too few rows for what further audit rows would cost"
    assert stopping.finish() == ("" if learned == 75 else too_few)


def test_the_summary_says_why_a_shard_has_no_rule() -> None:
    figures = run(panel(), pairs(60)).figures
    name = "shards without a rule, asked until the verdict was settled"
    assert figures[name] == {"fewer than 75 audit rows": 1}
