"""Prompts, byte by byte, against files written by hand from the published templates."""

from pathlib import Path

import pytest

from prism_cli.domain.prompting import PROFILES, profile_named
from prism_cli.errors import UsageError

GOLDEN = Path(__file__).parent.parent / "data" / "prompts"
HASHES = {
    "prism": "3df3ce75763fa063625b97808f5802a741023a8d64243fc72bbec37f8b3027f3",
    "prism-no-think": "23e308e7c1f65130619020cdee0a62520811e4d0a6f835dc5c21c118c28f731b",
    "qwen3-reranker": "530d14b8bd99d766dfcb63b6f55032c0207b9f1ee457ec40d4009f55e83c8620",
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_prompt_equals_the_golden_file(name: str) -> None:
    golden = (GOLDEN / f"{name}.txt").read_bytes()
    prompt = PROFILES[name].prompt("wer schrieb „Faust“?", "Goethe wrote it.\n\n世界 ")
    assert prompt.encode() == golden


def test_each_profile_has_a_golden_file() -> None:
    files = {path.name.split(".")[0] for path in GOLDEN.glob("*.txt")}
    assert files == set(PROFILES) == set(HASHES)


@pytest.mark.parametrize("name", PROFILES)
def test_hash_of_a_profile_never_changes(name: str) -> None:
    assert PROFILES[name].hash == HASHES[name]


def test_braces_in_a_text_are_unchanged() -> None:
    prompt = PROFILES["prism"].prompt("{document}", "{query}")
    assert "<Query>: {document}\n<Document>: {query}<|im_end|>" in prompt


def test_another_instruction_is_another_profile() -> None:
    profile = PROFILES["qwen3-reranker"]
    other = profile.with_instruct("Find code")
    assert "<Instruct>: Find code\n" in other.prompt("q", "d")
    assert other.hash != profile.hash


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="prism, prism-no-think, qwen3-reranker"):
        profile_named("chatml")
