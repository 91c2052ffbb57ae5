"""`prism collect synthesize` from the command line, on a local server with a log."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import read_jsonl, write_jsonl
from tests.mini import MINI
from tests.servers.calls import read_log
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.replies import Answers
from tests.servers.script import launched

ROOT = Path(__file__).parent.parent.parent
LAB = ("--generator", "lab/writer", "--provider-file", "lab.toml")
WORDS = (
    "collect", "synthesize", "instructions.jsonl", "-o", "queries.jsonl", *LAB, "--style",
    "question", "--per-instruction",
)  # fmt: skip
CHINESE = "护士会问的伤口护理问题"


def provider_file(base_url: str, **more: object) -> None:
    lines = ["[providers.lab]", 'api = "openai"', f'base_url = "{base_url}/v1"']
    lines += [f"{key} = {value}" for key, value in more.items()]
    lines += ['key_env = ""', "[providers.lab.models.writer]"]
    lines += ["usd_per_million_input = 1.0", "usd_per_million_output = 2.0"]
    Path("lab.toml").write_text("\n".join(lines))


def item(number: int) -> dict[str, object]:
    return {"instruction": f"Item {number} things", "note": {"kept": number}}


def first(number: int) -> str:
    """Return ten queries: one common to all items, and one near-duplicate of it."""
    questions = [f"what is {number}0{place}" for place in range(8)]
    return json.dumps(["What does everybody ask here?", *questions, "What does everybody ask her?"])


def second(number: int) -> str:
    return json.dumps([f"what is {number}{place}" for place in range(10, 20)])


def written(model: str, text: str) -> str:
    """Reply without an array for item 1, with a fenced one for item 2, else as above."""
    if CHINESE in text:
        return '["如何在家清洁深层伤口？", "伤口感染有哪些症状？", "如何在家里清洁深层伤口"]'
    number = int(text.partition("Item ")[2].partition(" ")[0])
    if number == 1:
        return "1. what is this\n2. what is that"
    if "Queries written before" in text:
        return second(number)
    return f"Sure:\n```json\n{first(number)}\n```" if number == 2 else first(number)


def test_queries_are_unique_and_a_second_run_sends_nothing() -> None:
    rows = [item(0), item(1), item(2), {"instruction": CHINESE, "language": "zh"}]
    write_jsonl(Path("instructions.jsonl"), rows)
    write_jsonl(Path("there.jsonl"), [{"query": "what is: 200?"}])
    with FaultServer([Fault("html", calls=(1,))], Answers(chat=written)) as server:
        provider_file(server.base_url)
        words = (*WORDS, "12", "--against", "there.jsonl", "--against", MINI, "--max-rejects", "1")
        forecast = prism(*words, "--dry-run", "--json")
        assert (forecast.returncode, server.calls) == (0, [])
        assert json.loads(forecast.stdout)["models"][0]["calls"] == 8
        done = prism(*words, "--json")
        assert done.returncode == 0, done.stderr
        paid = [call for call in server.calls if call.fault != "html"]
        assert max(Counter(call.request for call in paid).values()) == 1
        # Items 0, 2: two calls. Item 1: three attempts. Chinese: the second brings nothing new.
        assert len(paid) == 2 + 3 + 2 + 2
        usd = sum(call.input_tokens + 2 * call.output_tokens for call in paid) / 1e6
        assert json.loads(done.stdout)["usage"]["usd"] == pytest.approx(usd)
        before, calls_before = Path("queries.jsonl").read_bytes(), len(server.calls)
        assert "finished before" in prism(*words).stderr
        Path("queries.jsonl").unlink()
        assert prism(*words, "--overwrite").returncode == 0
        paid_for = json.loads(prism(*words, "--overwrite", "--dry-run", "--json").stdout)
        assert (paid_for["usd"], paid_for["models"][0]["paid before"]) == (0.0, 9)
        assert len(server.calls) == calls_before
    assert Path("queries.jsonl").read_bytes() == before
    output = read_jsonl(Path("queries.jsonl"))
    assert list(output[0]) == [
        "query_id", "query", "instruction", "note", "source", "query_style",
    ]  # fmt: skip
    assert (output[0]["query"], output[0]["note"]) == ("What does everybody ask here?", {"kept": 0})
    assert {row["source"] for row in output} == {"synthesized:lab/writer"}
    by_item = Counter(row["instruction"] for row in output)
    assert by_item == {"Item 0 things": 12, "Item 2 things": 10, CHINESE: 2}
    assert output[-1]["language"] == "zh"
    (bad,) = read_jsonl(Path("queries.jsonl.rejects.jsonl"))
    assert (bad["line"], bad["field"]) == (2, "instruction")
    assert "3 x expected a JSON array of strings, found none" in bad["reason"]
    figures = json.loads(done.stdout)["figures"]
    queries = figures["queries"]
    assert (queries["asked for"], queries["kept"]) == (48, 24)
    left_out = sum(count for name, count in queries.items() if name.startswith("left out"))
    assert queries["made"] == queries["kept"] + left_out
    assert queries["left out: the same or nearly the same as one of --against"] == 1
    assert figures["instructions with fewer than asked for"] == 1


def test_a_spent_budget_or_expired_key_stops_the_run_and_the_same_command_resumes() -> None:
    write_jsonl(Path("instructions.jsonl"), [item(0), item(2), item(3)])
    with FaultServer([Fault("401", after=3)], Answers(chat=written)) as server:
        provider_file(server.base_url, concurrency=1)
        words = (*WORDS, "12")
        assert prism(*words, "--max-cost", "0.002").returncode == 7
        assert 1 <= len(server.calls) <= 2
        stopped = prism(*words)
        assert stopped.returncode == 5
        assert "401" in stopped.stderr
        assert not Path("queries.jsonl").exists()
        server.set_faults()
        assert prism(*words).returncode == 0
        answered = [call.request for call in server.calls if call.status == 200]
    assert len(answered) == len(set(answered)) == 6
    assert len(read_jsonl(Path("queries.jsonl"))) == 3 * 12 - 2


def test_its_output_is_an_input_of_collect_web(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXA_API_KEY", "planted")
    write_jsonl(Path("instructions.jsonl"), [item(0)])
    with FaultServer(answers=Answers(chat=written)) as server:
        provider_file(server.base_url)
        assert prism(*WORDS, "3").returncode == 0
        Path("exa.toml").write_text(f'[providers.exa]\nbase_url = "{server.base_url}/exa"')
        words = ("collect", "web", "queries.jsonl", "-o", "web.jsonl", "--min-characters", "1")
        done = prism(*words, "--provider-file", "exa.toml")
        assert done.returncode == 0, done.stderr
    (row, *_) = read_jsonl(Path("web.jsonl"))
    assert (row["source"], row["instruction"]) == ("web:exa", "Item 0 things")
    assert row["query_style"] == "original"


def test_after_a_kill_at_any_commit_no_request_is_repeated_and_the_output_is_the_same(
    tmp_path: Path,
) -> None:
    write_jsonl(Path("instructions.jsonl"), map(item, range(8)))
    rules = [
        ("contains = " + json.dumps(contains), "text = " + json.dumps(text))
        for number in range(8)
        for contains, text in (
            (f'"what is {number}00"', second(number)),
            (f"Item {number} ", first(number)),
        )
    ]
    script = "".join(f"[[reply]]\n{condition}\n{other}\n" for condition, other in rules)
    log = tmp_path / "calls.jsonl"
    with launched(log, script) as base_url:
        provider_file(base_url, concurrency=2)
        command = [sys.executable, "-m", "prism_cli", *WORDS, "15", "-q"]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        points = ["after-commit:3", "before-commit:5", "before-publish"]
        for point in points:
            killed = subprocess.run(command, env=env | {"PRISM_CRASH_AT": point}, timeout=60)
            assert killed.returncode < 0
            assert not Path("queries.jsonl").exists()
        assert subprocess.run(command, env=env, timeout=60).returncode == 0
        resumed, calls = Path("queries.jsonl").read_bytes(), read_log(log)
        Path("queries.jsonl").unlink()
        assert subprocess.run([*command, "--fresh"], env=env, timeout=60).returncode == 0
        assert Path("queries.jsonl").read_bytes() == resumed
    counted = Counter(call.request for call in calls)
    assert len(counted) == 16
    assert len(calls) - len(counted) <= 2 * 2  # two kills with calls in flight, at most two each
    queries = [row["query"] for row in read_jsonl(Path("queries.jsonl"))]
    assert len(queries) == len(set(queries)) == 8 * 14 + 1


def test_a_folder_named_synthesize_is_an_input() -> None:
    Path("synthesize").mkdir()
    write_jsonl(Path("synthesize/rows.jsonl"), [{"query": "a", "pos": ["b"], "neg": ["c"]}])
    assert prism("collect", "synthesize", "-o", "pairs.jsonl").returncode == 0
    assert len(read_jsonl(Path("pairs.jsonl"))) == 2


def test_help_has_an_example_and_collect_points_to_it() -> None:
    output = prism("collect", "synthesize", "--help").stdout
    assert "Usage: prism collect synthesize" in output
    assert "Example: prism collect synthesize instructions.jsonl" in " ".join(output.split())
    assert "prism collect synthesize --help" in " ".join(prism("collect", "--help").stdout.split())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "generator: expected a value, found none; give --generator"),
        (["--generator", "nobody/model"], 2, "--generator nobody/model: expected hf:smollm2"),
        (["--generator", "deepseek/deepseek-chat"], 3, "DEEPSEEK_API_KEY"),
        ([*LAB, "--reuse", "instructions.jsonl"], 2, "--against FILE"),
        ([*LAB, "--style", "rhyme"], 2, "styles"),
        ([*LAB, "--against", "nowhere.jsonl"], 3, "nowhere.jsonl"),
        (
            [*LAB, "--against", "instructions.jsonl"],
            3,
            "--against instructions.jsonl:1: query: expected a string, found no such field",
        ),
    ],
)
def test_invalid_use_is_reported(words: list[str], code: int, message: str) -> None:
    write_jsonl(Path("instructions.jsonl"), [item(0)])
    provider_file("http://localhost:9")
    done = prism("collect", "synthesize", "instructions.jsonl", "-o", "queries.jsonl", *words)
    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert not Path("queries.jsonl").exists()
