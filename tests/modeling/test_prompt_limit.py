"""Prompts are no longer than what the model reads; a default is lowered, a number refused."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import LlamaConfig, MistralConfig, Qwen3_5Config

from prism_cli.adapters.runtimes.transformers_runtime import load_reranker
from prism_cli.domain.defaults import MAX_TOKENS
from prism_cli.errors import ArgumentError
from prism_cli.modeling import prompt_limit
from prism_cli.modeling.loading import load_encoder
from prism_cli.modeling.model_dir import FILE_NAME
from prism_cli.modeling.prompt_limit import readable_tokens
from tests.door import prism

POSITIONS = 2048
"""Of the tiny reranker."""


def scaled(kind: str, **more: Any) -> LlamaConfig:
    rope = {"rope_theta": 1e4, "rope_type": kind, "factor": 4.0} | more
    return LlamaConfig(max_position_embeddings=POSITIONS, rope_parameters=rope)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (LlamaConfig(max_position_embeddings=POSITIONS), POSITIONS),
        (scaled("linear"), 4 * POSITIONS),
        (scaled("dynamic"), 4 * POSITIONS),
        (scaled("yarn", original_max_position_embeddings=1024), 4096),
        (scaled("yarn", original_max_position_embeddings=256), POSITIONS),
        (
            scaled(
                "llama3",
                original_max_position_embeddings=512,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
            ),
            POSITIONS,
        ),
        (MistralConfig(max_position_embeddings=POSITIONS, sliding_window=64), POSITIONS),
        (Qwen3_5Config(text_config={"max_position_embeddings": POSITIONS}), POSITIONS),
        (SimpleNamespace(get_text_config=SimpleNamespace), None),
    ],
    ids=[
        "plain",
        "linear",
        "dynamic",
        "yarn",
        "yarn-included",
        "llama3",
        "sliding",
        "text",
        "none",
    ],
)
def test_tokens_that_a_model_reads(config: Any, tokens: int | None) -> None:
    assert readable_tokens(config) == tokens


@pytest.fixture
def copy(tiny_reranker: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_reranker, tmp_path / "model")


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | values))


def test_a_default_is_lowered_in_the_key_too_and_said_once(
    tiny_reranker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt_limit._say.cache_clear()
    encoder, runtime = load_encoder(str(tiny_reranker)), load_reranker(str(tiny_reranker))
    again = runtime.encoder
    assert encoder.max_tokens == again.max_tokens == runtime.figures["max_tokens"] == POSITIONS
    explicit = load_encoder(str(tiny_reranker), POSITIONS)
    assert encoder.fingerprint == again.fingerprint == explicit.fingerprint
    line = "prism: max_tokens is 2,048 instead of 10,240: this model (type llama) reads no longer"
    assert capsys.readouterr().err.count(line) == 1


def test_a_model_with_more_positions_keeps_its_keys(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt_limit._say.cache_clear()
    change(copy, "config.json", max_position_embeddings=MAX_TOKENS)
    encoder = load_encoder(str(copy))
    assert encoder.fingerprint.endswith(f" {MAX_TOKENS}")
    assert capsys.readouterr().err == ""


def test_a_model_with_windows_of_its_own_is_lowered_in_silence(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt_limit._say.cache_clear()
    change(copy, FILE_NAME, window_tokens=64)
    assert load_encoder(str(copy), profile="prism-no-think").max_tokens == POSITIONS
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("load", [load_encoder, load_reranker])
def test_more_than_the_model_reads_is_refused(tiny_reranker: Path, load: Any) -> None:
    with pytest.raises(ArgumentError, match="max_tokens = 2049: expected at most 2048, as model"):
        load(str(tiny_reranker), max_tokens=POSITIONS + 1)


@pytest.mark.parametrize("words", [[], ["--print-prompts"]])
def test_the_command_refuses_it_before_any_row(tiny_reranker: Path, words: list[str]) -> None:
    Path("rows.jsonl").write_text('{"query": "q", "document": "d"}\n')
    model = ["--model", str(tiny_reranker), "--max-tokens", "4096", "-o", "out.jsonl"]
    done = prism("rerank", "rows.jsonl", *model, *words)
    assert done.returncode == 2, done.stderr
    assert "max_tokens = 4096: expected at most 2048" in " ".join(done.stderr.split())
    assert not Path("out.jsonl").exists()
