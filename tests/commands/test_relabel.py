"""`prism relabel` through the real command."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import make_pair, make_pairs, read_jsonl, write_jsonl
from tests.servers.fault_server import FaultServer
from tests.servers.replies import Answers

KEYS = ("DEEPSEEK_API_KEY", "DASHSCOPE_API_KEY", "OPENROUTER_API_KEY")


def test_own_labels_become_verdicts_beside_the_input() -> None:
    labels = ["1", "0", None, 2, True, "no"]
    write_jsonl(
        Path("data.jsonl"),
        [make_pair(number, source_label=label) for number, label in enumerate(labels)],
    )
    done = prism("relabel", "data.jsonl", "--judge", "source", "--json")
    assert done.returncode == 0, done.stderr
    rows = read_jsonl(Path("data.relabel.jsonl"))
    assert [row["verdict"] for row in rows] == ["yes", "no", None, "yes", "yes", "no"]
    assert rows[0]["votes"] == {"source": "yes"}
    assert rows[2]["votes_cast"] == 0
    assert rows[0]["note"] == make_pair(0)["note"]
    assert json.loads(done.stdout)["figures"]["verdicts"] == {"yes": 3, "no": 2, "undecided": 1}
    rerun = prism("relabel", "data.jsonl", "--judge", "source")
    assert "finished before" in rerun.stderr
    assert prism("relabel", "data.jsonl", "--judge", "source:2").returncode == 2


def test_rows_without_labels_end_with_a_warning_and_other_judges() -> None:
    write_jsonl(Path("in.jsonl"), [make_pair(number) for number in range(2)])
    done = prism("relabel", "in.jsonl", "--judge", "source")
    assert done.returncode == 0, done.stderr
    assert (
        "warning: no row got a verdict; source gave no vote, as no row has a source_label. Take "
        "other judges, such as --judge st:minilm --judge hf:smollm2, which need no key"
    ) in " ".join(done.stderr.split())


def test_two_grades_as_a_panel() -> None:
    write_jsonl(Path("in.jsonl"), [make_pair(n, source_label=str(n)) for n in range(3)])
    words = ("--judge", "source", "--judge", "source:2", "-o", "out.jsonl", "-q")
    assert prism("relabel", "in.jsonl", *words).returncode == 0
    rows = read_jsonl(Path("out.jsonl"))
    assert [row["verdict"] for row in rows] == ["no", None, "yes"]
    assert rows[1]["votes"] == {"source": "yes", "source:2": "no"}


def test_unreadable_label_is_set_aside_with_its_place() -> None:
    write_jsonl(Path("in.jsonl"), [make_pair(0, source_label="perhaps")])
    done = prism("relabel", "in.jsonl", "--judge", "source", "-o", "out.jsonl")
    assert done.returncode == 4
    (rejected,) = read_jsonl(Path("out.jsonl.rejects.jsonl"))
    assert (rejected["line"], rejected["field"]) == (1, "source_label")
    assert "expected a grade, yes or no" in rejected["reason"]


def test_default_panel_names_every_missing_key() -> None:
    write_jsonl(Path("data.jsonl"), make_pairs(2))
    done = prism("relabel", "data.jsonl")
    assert done.returncode == 3
    for key in KEYS:
        assert done.stderr.count(key) == 1
    assert "--judge source" in done.stderr
    assert "--judge st:minilm --judge hf:smollm2" in done.stderr
    assert not Path("data.relabel.jsonl").exists()


def test_one_missing_key_is_not_answered_by_a_smaller_panel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_jsonl(Path("data.jsonl"), make_pairs(2))
    monkeypatch.setenv("DEEPSEEK_API_KEY", "a")
    monkeypatch.setenv("OPENROUTER_API_KEY", "b")
    done = prism("relabel", "data.jsonl")
    assert done.returncode == 3
    assert "DASHSCOPE_API_KEY" in done.stderr
    assert "OPENROUTER_API_KEY" not in done.stderr


def test_soft_votes_need_probabilities_from_every_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(Path("data.jsonl"), [make_pair(n, query="q") for n in range(3)])
    monkeypatch.setenv("DEEPSEEK_API_KEY", "a")
    words = ("data.jsonl", "-o", "out.jsonl", "--vote", "soft", "--judge", "lab/j")
    with FaultServer(answers=Answers(probability=lambda model, text: 0.75)) as server:
        Path("p.toml").write_text(
            f'[providers.lab]\napi = "systemone"\nbase_url = "{server.base_url}/v1"\n'
        )
        words += ("--provider-file", "p.toml")
        done = prism("relabel", *words, "--judge", "source", "--judge", "deepseek/deepseek-chat")
        assert done.returncode == 2
        assert "--vote soft: source, deepseek/deepseek-chat gives no probability" in done.stderr
        assert prism("relabel", *words, "--set", "pack_questions=0").returncode == 2
        assert server.calls == []
        done = prism("relabel", *words, "--set", "pack_questions=auto", "-q")
    assert done.returncode == 0, done.stderr
    assert len(server.calls) == 1  # three documents of one query
    for row in read_jsonl(Path("out.jsonl")):
        assert row["vote_probabilities"] == {"lab/j": 0.75}
        assert row["verdict"] == "yes"


def test_a_missing_input_is_reported() -> None:
    done = prism("relabel", "nowhere.jsonl", "--judge", "source")
    assert done.returncode == 3
    assert "nowhere.jsonl: no such file" in done.stderr


def test_help_has_an_example() -> None:
    done = prism("relabel", "--help")
    assert done.returncode == 0
    assert "Example: prism relabel" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--judge", "source"), "--stop posterior: takes 2 to 7 judges, not 1"),
        (("--vote", "soft"), "--vote soft asks every judge"),
        (("--audit", "0"), "--audit must be above 0"),
        (("--risk", "0"), "risk"),
    ],
)
def test_what_the_posterior_rule_cannot_be_combined_with(
    words: tuple[str, ...], reason: str
) -> None:
    write_jsonl(Path("data.jsonl"), make_pairs(2))
    done = prism("relabel", "data.jsonl", "--stop", "posterior", *words)
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--risk", "0.01"), ("--prior", "teacher"), ("--set", "risk=0.1")]
)
def test_parts_of_the_posterior_rule_are_refused_without_it(option: str, value: str) -> None:
    write_jsonl(Path("data.jsonl"), make_pairs(2))
    done = prism("relabel", "data.jsonl", option, value, "--judge", "source")
    assert done.returncode == 2
    assert "is a part of --stop posterior" in done.stderr


def test_settings_of_the_posterior_rule_are_noted_where_it_is_off() -> None:
    write_jsonl(Path("data.jsonl"), make_pairs(2))
    Path("r.toml").write_text('stop = "posterior"\nrisk = 0.02\nprior = "teacher"\n')
    words = ("--recipe", "r.toml", "--stop", "settled", "--judge", "source", "-o", "out.jsonl")
    done = prism("relabel", "data.jsonl", *words)
    assert done.returncode == 0, done.stderr
    assert "--stop posterior is off: settings without effect: risk, prior" in done.stderr


def judge_lab(server: FaultServer, prices: list[float]) -> tuple[str, ...]:
    """Return the options of a panel of judges at these prices, right in 95 of 100 rows."""
    lines = [f'[providers.lab]\napi = "openai"\nbase_url = "{server.base_url}/v1"\nkey_env = ""']
    for number, price in enumerate(prices):
        lines.append(f"[providers.lab.models.j{number}]\nusd_per_million_input = {price}")
        lines.append(f"usd_per_million_output = {price}")
    Path("lab.toml").write_text("\n".join(lines))
    judges = [word for n in range(len(prices)) for word in ("--judge", f"lab/j{n}")]
    return ("relabel", "in.jsonl", "--stop", "posterior", "--provider-file", "lab.toml", *judges)


def lab_vote(model: str, text: str) -> str:
    number = int(text.rsplit("item ", 1)[1].split()[0])
    wrong = random.Random(f"{model} {number}").random() < 0.05
    return "yes" if (number % 3 == 0) != wrong else "no"


def test_dear_judges_are_asked_only_where_they_are_needed() -> None:
    write_jsonl(Path("in.jsonl"), [make_pair(n, document=f"item {n} is one") for n in range(300)])
    with FaultServer(answers=Answers(chat=lab_vote)) as server:
        words = judge_lab(server, [2.0, 2.0, 0.1, 0.1, 0.1])
        done = prism(*words, "-o", "out.jsonl", "--json", "--concurrency", "16")
        assert done.returncode == 0, done.stderr
        # Other prices are another order: not the settings of this output.
        other = prism(*judge_lab(server, [0.1] * 5), "-o", "out.jsonl")
        assert other.returncode == 2
        assert "prices" in other.stderr
        calls = Counter(call.model for call in server.calls)
    rows = read_jsonl(Path("out.jsonl"))
    audited = sum(row["stop"] == "audit" for row in rows)
    assert calls["j0"] < audited + 40 < 250 < calls["j2"]
    assert {tuple(row["votes"]) for row in rows if row["stop"] == "risk"} <= {
        ("lab/j2", "lab/j3"), ("lab/j2", "lab/j4"), ("lab/j3", "lab/j4"),
    }  # fmt: skip
    figures = json.loads(done.stdout)["figures"]
    assert figures["judgements a row"]["without audit rows"] < 2.5
    dry = (*words, "-o", "new.jsonl", "--dry-run")
    assumed = "--stop posterior: assumed are judges that are right in 0.83 of the rows"
    assert assumed in " ".join(prism(*dry).stderr.split())
    assert "assumed" not in prism(*dry, "--audit-from", "out.jsonl").stderr
    assert "changed verdicts on audit rows: rows 75, changed" in done.stderr


def test_earlier_audit_rows_must_have_every_judge() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(2))
    votes = {"source": "yes", "source:2": "no"}
    write_jsonl(Path("earlier.jsonl"), [make_pair(votes=votes, audit=True), make_pair(votes=votes)])
    words = ("relabel", "in.jsonl", "--audit-from", "earlier.jsonl", "--judge", "source")
    words += ("--judge", "source:3")
    assert "--audit-from: is a part of --stop posterior" in prism(*words).stderr
    done = prism(*words, "--stop", "posterior")
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert "all judges of this panel were asked, found none (source:3 was not asked on 1)" in said


def test_a_judge_that_abstained_on_an_earlier_audit_row_was_asked() -> None:
    """Outputs of earlier versions have no `abstained`: there the manifest names the panel."""
    write_jsonl(Path("in.jsonl"), make_pairs(2))
    words = ("relabel", "in.jsonl", "--judge", "source", "--judge", "source:3")
    assert prism(*words, "--audit", "1", "-o", "earlier.jsonl").returncode == 0
    made = read_jsonl(Path("earlier.jsonl"))
    assert [(row["votes"], row.pop("abstained")) for row in made] == [
        ({}, ["source", "source:3"])
    ] * 2
    write_jsonl(Path("earlier.jsonl"), made)
    words += ("--stop", "posterior", "--audit-from", "earlier.jsonl")
    assert prism(*words).returncode == 0
    Path("earlier.jsonl.manifest.json").unlink()
    assert prism(*words).returncode == 3


def test_a_bad_earlier_audit_row_is_named() -> None:
    write_jsonl(Path("in.jsonl"), make_pairs(2))
    votes = {"source": "Yes", "source:2": "no"}
    write_jsonl(Path("earlier.jsonl"), [make_pair(votes=votes, audit=True)])
    words = ("relabel", "in.jsonl", "--judge", "source", "--judge", "source:2")
    done = prism(*words, "--stop", "posterior", "--audit-from", "earlier.jsonl")
    assert done.returncode == 3
    assert "--audit-from earlier.jsonl:1: votes.source: expected" in " ".join(done.stderr.split())
