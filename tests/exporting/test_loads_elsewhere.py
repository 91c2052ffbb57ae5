"""An exported folder in other libraries: the same prompts, scores, cuts."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    StableLmConfig,
)

from prism_cli.adapters.runtimes.transformers_runtime import load_reranker
from prism_cli.domain.defaults import MAX_TOKENS
from prism_cli.domain.scoring import relevance_score
from prism_cli.exporting.layout import add_earlier_keys, save_tokenizer
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import load_encoder
from prism_cli.modeling.silence_warnings import silence_transformers
from tests.door import prism
from tests.exporting.conftest import SEES, Exported

PAIRS = [
    ("What is the capital of France?", "Paris is the capital of France, on the river Seine."),
    ("What is the capital of France?", "Water, light and air."),
    ("¿Qué es «esto»?", "  Un texto\n\nlargo, 123.45 € 文書 " * 12),
    ("x", ""),
]
SHAPES = ("llama", "qwen3", "qwen3_5", SEES)


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with silence_transformers():
        yield


def cross_encoder(folder: Path) -> CrossEncoder:
    return CrossEncoder(str(folder), device="cpu", local_files_only=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_settings_have_the_keys_of_transformers_4(
    shape: str, exported: Callable[[str], Exported]
) -> None:
    folder, _ = exported(shape)
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] != "TokenizersBackend"
    assert AutoTokenizer.from_pretrained(folder)("a b").input_ids


def test_scaled_positions_are_those_of_both_versions(tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    config = LlamaConfig(rope_parameters=rope | {"rope_theta": 5e5}, max_position_embeddings=2048)
    config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    add_earlier_keys(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["rope_theta"], saved["rope_scaling"]) == (5e5, rope)
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters == config.rope_parameters


def test_the_rotated_part_is_that_of_both_versions(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "partial_rotary_factor": 0.5, "rope_theta": 1e4}
    StableLmConfig(rope_parameters=rope).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    add_earlier_keys(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["rope_theta"], saved["partial_rotary_factor"]) == (1e4, 0.5)
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters == rope


@pytest.mark.parametrize("shape", SHAPES)
def test_cross_encoder_scores_as_prism_does(
    shape: str, model: Callable[[str], Path], exported: Callable[[str], Exported]
) -> None:
    folder, _ = exported(shape)
    ours = load_reranker(str(model(shape)), device="cpu", dtype="float32")
    logits = [ours.logits([pair])[0] for pair in PAIRS]
    theirs = cross_encoder(folder)
    identity = torch.nn.Identity()
    plain = theirs.predict(PAIRS, activation_fn=identity, show_progress_bar=False)
    assert plain.tolist() == pytest.approx(logits, abs=1e-5)
    scores = theirs.predict(PAIRS, show_progress_bar=False)
    assert scores.tolist() == pytest.approx([relevance_score(one) for one in logits], abs=1e-5)
    again = load_reranker(str(folder), device="cpu", dtype="float32")
    assert [again.logits([pair])[0] for pair in PAIRS] == pytest.approx(logits, abs=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_loads_it_whole(shape: str, exported: Callable[[str], Exported]) -> None:
    folder, said = exported(shape)
    loader: Any = AutoModelForCausalLM
    found, report = loader.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert type(found).__name__ == said["architecture"]
    assert found.config.model_type == ("qwen3_5_text" if "3_5" in shape else shape)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == [said["architecture"]]
    assert found.generation_config.do_sample is False
    encoder = load_encoder(str(folder))
    assert encoder.eos_id in found.generation_config.eos_token_id


def test_names_of_a_text_model_are_its_own(exported: Callable[[str], Exported]) -> None:
    from safetensors import safe_open

    folder, said = exported(SEES)
    assert said["architecture"] == "Qwen3_5ForCausalLM"
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = list(file.keys())
    assert not [name for name in names if "language_model" in name or "visual" in name]
    assert "model.embed_tokens.weight" in names


@pytest.mark.parametrize("limit", [160, 200, 2048])
def test_cross_encoder_cuts_as_prism_does(exported: Callable[[str], Exported], limit: int) -> None:
    folder, _ = exported("llama")
    theirs = cross_encoder(folder)
    assert theirs.max_seq_length == 2048
    theirs.max_seq_length = limit
    encoder = load_encoder(str(folder))
    ours = PromptEncoder(encoder.tokenizer, encoder.profile, limit)
    query, document = "How long is it?", "word after word, 1 2 3 " * 400
    kept = ours.encode(query, document)
    assert kept.truncated
    ids = theirs.preprocess([(query, document), (query, "short")])["input_ids"].tolist()
    assert ids[0] == kept.ids
    assert ids[1][-len(ours.ids(query, "short")) :] == ours.ids(query, "short")


def test_models_with_more_positions_cut_where_prism_does(
    model: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = load_encoder(str(model("llama")))
    save_tokenizer(PromptEncoder(encoder.tokenizer, encoder.profile), tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).model_max_length == MAX_TOKENS


def test_every_file_is_summed(exported: Callable[[str], Exported]) -> None:
    folder, _ = exported("llama")
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ", 1)) for line in lines)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(sums) == files - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_no_file_names_a_place_on_this_machine(
    exported: Callable[[str], Exported], shelf: Path
) -> None:
    folder, _ = exported("llama")
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(shelf).encode() not in path.read_bytes(), path


def test_the_cards_python_runs(exported: Callable[[str], Exported]) -> None:
    folder, _ = exported("llama")
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        text = block.replace("max_new_tokens=512", "max_new_tokens=4")
        exec(compile(text, "README.md", "exec"), {"MODEL": str(folder)})


def test_the_serve_line_names_classes_tokens_and_template(
    exported: Callable[[str], Exported],
) -> None:
    for shape, kind in (("llama", "Llama"), ("qwen3", "Qwen3"), (SEES, "Qwen3_5")):
        folder, said = exported(shape)
        line = said["vllm"]["score"]
        assert f'"{kind}ForSequenceClassification"' in line
        assert '"classifier_from_token": ["no", "yes"]' in line
        assert f"--chat-template {folder}/chat_template.jinja" in line
        assert "--runner pooling" in line
        assert "--runner" not in said["vllm"]["text"]


def test_a_released_folder_exports_to_the_same(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    """Released checkpoints have this layout and no prism.json."""
    folder, _ = exported("qwen3_5")
    released, again = tmp_path / "released", tmp_path / "again"
    shutil.copytree(folder, released)
    for name in ("prism.json", "manifest.json", "SHA256SUMS", "README.md"):
        (released / name).unlink()
    done = prism("export", released, "-o", again, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["check"]["largest"] < 1e-5
    same = ("model.safetensors", "chat_template.jinja", "1_LogitScore/config.json", "modules.json")
    for name in same:
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
