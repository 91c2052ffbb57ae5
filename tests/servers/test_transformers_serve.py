"""A tiny model behind `transformers serve` answers a chat and a System One question."""

from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from tests.servers.transformers_serve import transformers_serve


@pytest.mark.slow
def test_chat_and_systemone(chat_server: tuple[str, Path]) -> None:
    base_url, model = chat_server
    with OpenAI(base_url=f"{base_url}/v1", api_key="none") as sdk:
        completion = sdk.chat.completions.create(
            model=str(model),
            messages=[{"role": "user", "content": "Answer yes or no: is Paris in France?"}],
            max_tokens=1,
            temperature=0,
        )
    request = {
        "model": str(model),
        "state": "Paris is the capital of France.",
        "questions": {
            "paris": {
                "type": "noul",
                "instructions": "Is it about Paris?",
                "criteria": {"true": "It names Paris.", "false": "It does not."},
            },
            "bees": {"type": "noul", "instructions": "Is it about bees?"},
        },
    }
    answers = httpx2.post(f"{base_url}/v1/systemone", json=request, timeout=60).json()["answers"]
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage
    assert completion.usage.completion_tokens == 1
    chances = [answers[name]["noul"] for name in ("bees", "paris")]
    assert all(0 < chance < 1 for chance in chances)
    assert chances[0] != chances[1]


def test_a_failed_start_is_reported_with_the_end_of_the_log(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="did not become healthy"),
        transformers_serve(tmp_path / "nothing", tmp_path),
    ):
        pass
