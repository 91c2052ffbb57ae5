"""Published folders load unchanged: every class of weights, template, adapters of other tools."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from prism_cli.adapters.runtimes.canary import canary_scores
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker
from prism_cli.domain.prompting import PRISM, QWEN3_RERANKER
from prism_cli.errors import ModelError
from prism_cli.modeling.chat_profile import template_profile
from prism_cli.modeling.loading import load_encoder, load_model
from prism_cli.modeling.model_dir import read_profile, write_profile
from prism_cli.modeling.silence_warnings import silence_transformers
from tests.modeling.real_tokenizers import tokenizer_of
from tests.modeling.released import (
    PRISM_TEMPLATE,
    QWEN3_TEMPLATE,
    VOCABULARY,
    released_folder,
    write,
)
from tests.modeling.tiny import tiny_model

PAIRS = [("who wrote it?", "Goethe wrote it."), ("q\n", "\n 文書 e\u0301 " * 30), ("x", "")]
IDS = torch.tensor([[5, 6, 7, 8, 9]])


def reranker(path: Path) -> TransformersReranker:
    return TransformersReranker(load_model(str(path)), str(path))


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        out: torch.Tensor = model(input_ids=IDS).logits
    return out


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool((actual - expected).abs().max() <= tolerance)


@pytest.mark.parametrize(
    ("shape", "tokenizer", "template", "profile"),
    [
        ("qwen3_5", "qwen3_5", PRISM_TEMPLATE, PRISM),
        ("qwen3", "qwen3", PRISM_TEMPLATE, PRISM),
        ("qwen3", "qwen3", QWEN3_TEMPLATE, QWEN3_RERANKER),
    ],
)
def test_a_published_folder_scores_as_cross_encoder_does(
    tmp_path: Path, shape: str, tokenizer: str, template: str, profile: Any
) -> None:
    # A name that would lead a guess astray.
    folder = tmp_path / ("Qwen3-Reranker" if profile is PRISM else "some-model")
    released_folder(folder, tiny_model(shape, VOCABULARY), template, tokenizer=tokenizer)
    ours = reranker(folder)
    assert ours.loaded.profile == profile
    assert load_encoder(str(folder)).profile == profile
    with silence_transformers():
        theirs = CrossEncoder(str(folder), device="cpu")
        expected = theirs.predict(PAIRS, show_progress_bar=False)
    assert ours.logits(PAIRS) == pytest.approx(expected.tolist(), abs=1e-4)
    scores = canary_scores(ours)
    assert scores["relevant"] != scores["irrelevant"]


def test_the_task_of_a_qwen3_reranker_is_its_folders(tmp_path: Path) -> None:
    model = tiny_model("qwen3", VOCABULARY)
    folder = released_folder(
        tmp_path / "m", model, QWEN3_TEMPLATE, tokenizer="qwen3", task="Find code"
    )
    ours = reranker(folder)
    assert ours.loaded.profile == QWEN3_RERANKER.with_instruct("Find code")
    with silence_transformers():
        expected = CrossEncoder(str(folder), device="cpu").predict(PAIRS, show_progress_bar=False)
    assert ours.logits(PAIRS) == pytest.approx(expected.tolist(), abs=1e-4)
    write_profile(folder, ours.loaded.profile)
    note = read_profile(folder)
    assert note is not None
    assert note.profile == ours.loaded.profile


def test_a_structured_template_is_read_too(tmp_path: Path) -> None:
    template = PRISM_TEMPLATE.replace('(attribute="content")', '(attribute="content.0.text")')
    folder = released_folder(tmp_path / "m", tiny_model("qwen3_5", VOCABULARY), template)
    assert load_encoder(str(folder)).profile == PRISM


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("provided. <", "provided.<", r"provided\.' it has ' <\|im_.*, the template '<\|im_"),
        (r"</think>\n\n", r"</think>\n", r"it has '\\n', the template ''"),
        ("<Query>", "<Question>", "Nearest is prism"),
    ],
)
def test_another_template_is_refused_with_the_difference(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in PRISM_TEMPLATE
    template = PRISM_TEMPLATE.replace(old, new)
    folder = released_folder(tmp_path / "m", tiny_model("qwen3_5", VOCABULARY), template)
    with pytest.raises(ModelError, match="no known profile") as refused:
        load_encoder(str(folder))
    assert "--profile" in str(refused.value)
    assert load_encoder(str(folder), profile="prism").profile == PRISM
    with pytest.raises(ModelError, match=message):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("sentence_bert_config", {"processing_kwargs": "x"}, "processing_kwargs"),
        ("sentence_bert_config", {"processing_kwargs": {"chat_template": [1]}}, "chat_template"),
        ("config_sentence_transformers", {"prompts": ["a"]}, "prompts"),
    ],
)
def test_settings_of_another_kind_are_named(
    name: str, content: Any, place: str, tmp_path: Path
) -> None:
    tokenizer: Any = SimpleNamespace(chat_template="x", apply_chat_template=lambda *_, **__: "")
    (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=rf"{name}\.json: {place}: expected a JSON object"):
        template_profile(tmp_path, tokenizer)
    content = {"prompts": {"a": "b"}, "default_prompt_name": ["a"]}
    (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert template_profile(tmp_path, tokenizer) is None


def test_a_score_of_other_tokens_is_refused(tmp_path: Path) -> None:
    folder = released_folder(tmp_path / "m", tiny_model("qwen3_5", VOCABULARY))
    write(folder / "1_LogitScore" / "config.json", {"true_token_id": 9, "false_token_id": None})
    with pytest.raises(ModelError, match="from tokens 9 and None, expected yes"):
        load_encoder(str(folder))


def test_a_chat_template_of_no_reranker_decides_nothing(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("qwen3_5")
    for template in ("{% for m in messages %}{{ m.content }}{% endfor %}", "{{ messages.x.y }}"):
        tokenizer.chat_template = template
        tokenizer.save_pretrained(tmp_path / "Qwen3-Reranker-4B")
        write(tmp_path / "Qwen3-Reranker-4B" / "config.json", {"model_type": "qwen3"})
        assert load_encoder(str(tmp_path / "Qwen3-Reranker-4B")).profile == QWEN3_RERANKER


@pytest.mark.parametrize("tied", ["both", "top", "text", "no"])
def test_the_text_model_of_a_conditional_generation_checkpoint_loads(
    tmp_path: Path, tied: str
) -> None:
    model = tiny_model("qwen3_5_vision", VOCABULARY, tied=tied in ("both", "top"))
    model.save_pretrained(tmp_path)
    tokenizer_of("qwen3_5").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for place, message in ((config, "top"), (config["text_config"], "text")):
        place.pop("tie_word_embeddings", None)
        if tied != "no" and tied in ("both", message):
            place["tie_word_embeddings"] = True
    write(tmp_path / "config.json", config)
    add_weights(tmp_path, {"mtp.norm.weight": torch.ones(48)})  # of the published checkpoints
    loaded = load_model(str(tmp_path))
    assert close(logits(loaded.model), logits(model), 0)
    assert type(loaded.model).__name__ == "Qwen3_5ForCausalLM"
    assert not any("visual" in name or "mtp" in name for name in loaded.model.state_dict())
    assert loaded.profile == PRISM
    loaded.model.save_pretrained(tmp_path / "again")
    names = load_file(tmp_path / "again" / "model.safetensors")
    assert not any("language_model" in name for name in names)
    assert close(logits(load_model_of(tmp_path, "again")), logits(model), 0)


def load_model_of(folder: Path, name: str) -> Any:
    tokenizer_of("qwen3_5").save_pretrained(folder / name)
    return load_model(str(folder / name)).model


def add_weights(folder: Path, more: dict[str, torch.Tensor]) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights | more, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_too_few_or_too_many_are_refused(tmp_path: Path) -> None:
    tiny_model("qwen3", VOCABULARY, tied=False).save_pretrained(tmp_path)
    tokenizer_of("qwen3").save_pretrained(tmp_path)
    add_weights(tmp_path, {"score.weight": torch.ones(1, 48)})
    with pytest.raises(ModelError, match=r"no place in a Qwen3ForCausalLM, such as score\.weight"):
        load_model(str(tmp_path))
    weights = load_file(tmp_path / "model.safetensors")
    del weights["score.weight"], weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"not in its files, such as lm_head\.weight"):
        load_model(str(tmp_path))


def adapter(folder: Path, base: Path, model: Any, **settings: Any) -> torch.Tensor:
    """Save an adapter of `model` with random weights in `folder`; return the adapted logits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a tied head
        tuned = get_peft_model(model, LoraConfig(r=4, **settings))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name or "lora_embedding_B" in name:
                weight.normal_(std=0.1)
            if "modules_to_save" in name:
                weight.add_(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the head is saved too where it is adapted
        tuned.save_pretrained(str(folder))
    config = json.loads((folder / "adapter_config.json").read_text())
    write(folder / "adapter_config.json", config | {"base_model_name_or_path": str(base)})
    return logits(tuned.eval())


TARGETS: dict[str, dict[str, Any]] = {
    "names": {"target_modules": ["q_proj", "in_proj_qkv", "in_proj_a", "out_proj"]},
    "all": {"target_modules": "all-linear", "use_rslora": True},
    "pattern": {"target_modules": r"^model\.language_model\.layers\.\d+\..*(q_proj|in_proj_qkv)$"},
    "paths": {
        "target_modules": ["model.language_model.layers.0.linear_attn.in_proj_qkv"],
        "rank_pattern": {r"model\.language_model\.layers\.0\.linear_attn\.in_proj_qkv": 2},
        "use_dora": True,
    },
    "with vision": {"target_modules": ["q_proj", "qkv"]},
}


@pytest.mark.parametrize("kind", TARGETS)
def test_an_adapter_trained_on_the_conditional_generation_class_is_merged(
    tmp_path: Path, kind: str
) -> None:
    base = tmp_path / "base"
    model = tiny_model("qwen3_5_vision", VOCABULARY)
    model.save_pretrained(base)
    tokenizer_of("qwen3_5").save_pretrained(base)
    plain = logits(model)
    # The adapter's folder has no tokenizer, as other tools leave it.
    adapted = adapter(tmp_path / "lora", base, model, **TARGETS[kind])
    assert any(
        ".language_model." in key
        for key in load_file(tmp_path / "lora" / "adapter_model.safetensors")
    )
    assert not close(adapted, plain, 0.01)
    loaded = load_model(str(tmp_path / "lora"))
    assert close(logits(loaded.model), adapted, 2e-5)
    assert loaded.profile == PRISM


@pytest.mark.parametrize("shape", ["llama", "qwen3", "qwen3_5"])
@pytest.mark.parametrize("tied", [True, False])
def test_adapters_of_every_family_are_merged_head_included(
    tmp_path: Path, shape: str, tied: bool
) -> None:
    base, model = tmp_path / "base", tiny_model(shape, VOCABULARY, tied=tied)
    released_folder(base, model)
    targets = ["q_proj", "out_proj", "down_proj", "lm_head"]
    adapted = adapter(tmp_path / "lora", base, model, target_modules=targets)
    loaded = load_model(str(tmp_path / "lora"))
    assert close(logits(loaded.model), adapted, 2e-5)
    assert loaded.profile == PRISM  # the base's, by its template
    loaded.model.save_pretrained(tmp_path / "merged")
    assert close(logits(load_model_of(tmp_path, "merged")), adapted, 2e-5)


def test_an_adapter_that_does_not_fit_is_reported(tmp_path: Path) -> None:
    base, model = tmp_path / "base", tiny_model("qwen3_5", VOCABULARY)
    released_folder(base, model)
    folder = tmp_path / "lora"
    adapter(folder, base, model, target_modules=["q_proj", "gate_proj"])
    weights = load_file(folder / "adapter_model.safetensors")
    whole = dict(weights)
    del weights[next(key for key in weights if "gate_proj" in key)]
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"not found 1 weights, such as .*gate_proj"):
        load_model(str(folder))
    strange = {"base_model.model.model.layers.9.mlp.gate_proj.lora_A.weight": torch.ones(4, 48)}
    save_file(whole | strange, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"no place for 1 weights, such as .*layers\.9"):
        load_model(str(folder))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="convert it to safetensors"):
        load_model(str(folder))
