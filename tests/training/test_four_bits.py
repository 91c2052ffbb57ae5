"""Adapters on a base in 4 bits."""

import re
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest
import torch
from torch import nn

from prism_cli.modeling import four_bits
from prism_cli.modeling.loading import load_model
from tests.factories import read_jsonl
from tests.training.runs import Toy

FOUR = ("--set", "quantize_base=nf4")
installed = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is an extra")


def test_without_the_package_the_install_line_is_told(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(four_bits, "find_spec", lambda _: None)
    done = toy.train(*FOUR)
    assert done.returncode == 3
    assert "this needs bitsandbytes" in done.stderr
    assert re.search(
        r"run: pip install -c \S*/constraints.txt 'prism-cli\[train4bit\]'", done.stderr
    )
    assert not toy.run.exists()


def test_all_weights_are_not_trained_in_four_bits(toy: Toy) -> None:
    done = toy.train(*FOUR, "--set", "method=full")
    assert done.returncode == 2
    assert 'weights in 4 bits cannot be trained; method = "lora"' in done.stderr


@installed
@pytest.mark.filterwarnings("ignore::DeprecationWarning:bitsandbytes")
def test_linear_layers_are_in_four_bits_and_the_head_is_not(tiny_model: Path) -> None:
    from bitsandbytes.nn import Linear4bit

    model = load_model(str(tiny_model), device="cpu", four_bits=True).model
    linear = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
    assert sum(isinstance(one, Linear4bit) for one in linear.values()) == 14
    assert [name for name, one in linear.items() if not isinstance(one, Linear4bit)] == ["lm_head"]


@installed
@pytest.mark.filterwarnings("ignore::DeprecationWarning:bitsandbytes")
def test_an_adapter_learns_and_is_merged_onto_the_full_weights(toy: Toy) -> None:
    words = (*FOUR, "--set", "max_steps=16", "--set", "log_steps=4")
    done = toy.train(*words)
    assert done.returncode == 0, done.stderr
    losses = [line["loss"] for line in read_jsonl(toy.run / "log.jsonl")]
    assert losses[-1] < 0.95 * losses[0]
    assert orjson.loads((toy.run / "last" / "prism.json").read_bytes())["base"] == str(toy.model)
    assert "quantization" not in (toy.run / "last" / "adapter_config.json").read_text()
    merged = load_model(str(toy.run), device="cpu", dtype="float32").model.state_dict()
    base = load_model(str(toy.model), device="cpu", dtype="float32").model.state_dict()
    moved = {name for name in base if not torch.equal(merged[name], base[name])}
    assert moved == {
        f"model.layers.{layer}.{name}.weight"
        for layer in (0, 1)
        for name in ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
    }
    again = toy.train(*words, run="again")
    assert again.returncode == 0, again.stderr
    assert toy.adapter("again") == toy.adapter()
