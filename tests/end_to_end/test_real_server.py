"""The panel from the command line, on `transformers serve`: a chat judge and a System One judge."""

import json
from pathlib import Path

import pytest

from tests.door import prism
from tests.factories import make_pair, read_jsonl, write_jsonl

DOCUMENTS = (
    "The ferry to Orme leaves from the north quay, every hour until nine.",
    "去奥姆的渡船从北码头出发。",
)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_chat_and_decision_judges_of_a_real_server(chat_server: tuple[str, Path]) -> None:
    base_url, model = chat_server
    rows = [
        make_pair(number, query="where does the ferry to Orme leave", document=document)
        for number, document in enumerate(DOCUMENTS)
    ]
    write_jsonl(Path("data.jsonl"), rows)
    chat, decision = f"lab/{model}", f"odds/{model}"
    tables = [
        f'[providers.{name}]\napi = "{api}"\nbase_url = "{base_url}/v1"\nconcurrency = 1\n'
        f'[providers.{name}.models."{model}"]\nusd_per_million_input = 1.0\n'
        for name, api in (("lab", "openai"), ("odds", "systemone"))
    ]
    Path("providers.toml").write_text("\n".join(tables))
    words = ("relabel", "data.jsonl", "--provider-file", "providers.toml", "--audit", "1")
    judges = ("--judge", chat, "--judge", decision, "--json")
    done = prism(*words, *judges)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    output = read_jsonl(Path("data.relabel.jsonl"))
    rerun = prism(*words, *judges, "--overwrite")
    assert json.loads(rerun.stdout)["usage"]["asked"] == 0
    assert read_jsonl(Path("data.relabel.jsonl")) == output
    assert summary["usage"]["input_tokens"] > 4 * 300  # tokens of the rubric
    assert summary["usage"]["usd"] == pytest.approx(summary["usage"]["input_tokens"] / 1e6)
    silent = summary["figures"]["votes"][0]["abstained"]
    assert sum(chat in row["votes"] for row in output) == len(rows) - silent
    for row in output:
        probability = row["vote_probabilities"][decision]
        assert row["votes"][decision] == ("yes" if probability > 0.5 else "no")
        assert set(row["vote_probabilities"]) == {decision}
    assert len({row["vote_probabilities"][decision] for row in output}) == len(rows)
