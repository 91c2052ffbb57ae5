"""`prism train` over a tiny model: what is in the run directory, and what is refused."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from prism_cli.modeling.loading import load_encoder, load_model
from prism_cli.shards import whole_folder
from prism_cli.shards.manifest import read_manifest
from prism_cli.training import data, preparing, publish, start
from prism_cli.training.finite_weights import FiniteWeights
from prism_cli.training.process_group import ProcessGroup
from tests.door import prism
from tests.factories import make_pairs, read_jsonl, write_jsonl
from tests.mini import MINI
from tests.training.runs import Toy, overflow_at, toy_rows


def manifest(run: Path) -> dict[str, Any]:
    found = read_manifest(run / "manifest.json")
    assert found is not None
    return found


def everything_in(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()
    }


def test_a_run_learns_and_leaves_what_the_next_tool_needs(toy: Toy) -> None:
    done = toy.train("--dev", toy.folder / "dev.jsonl", "--set", "max_steps=24", "--json")
    assert done.returncode == 0, done.stderr
    run = toy.run
    assert {path.name for path in run.iterdir()} == {
        "best", "last", "curves.svg", "log.jsonl", "speed.svg", "manifest.json", "recipe.toml",
    }  # fmt: skip
    for name in ("best", "last"):
        inside = {path.name for path in (run / name).iterdir()}
        assert {
            "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "prism.json",
        } <= inside  # fmt: skip
        assert "README.md" not in inside
        adapter = orjson.loads((run / name / "adapter_config.json").read_bytes())
        assert adapter["target_modules"] == ["down_proj", "q_proj", "v_proj"], "sets have no order"
        note = orjson.loads((run / name / "prism.json").read_bytes())
        assert note["profile"] == "prism-no-think"
        assert note["base"] == str(toy.model)
        assert note["window_tokens"] == 1024, "its longest prompt is shorter"

    lines = [line for line in read_jsonl(run / "log.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == [1, *range(2, 25, 2)]
    for line in lines:
        assert line["loss"] == pytest.approx(line["pointwise_loss"] + line["sft_loss"], rel=1e-5)
        if "margin" in line:  # not where all rows have one answer
            margin = line["yes_logit"] - line["no_logit"]
            assert line["margin"] == pytest.approx(margin, abs=1e-5)
        assert line["timed"].keys() == {
            "seconds", "tokens_per_second", "rows_per_second", "peak_memory_bytes",
        }  # fmt: skip
    margins = [line["margin"] for line in lines if "margin" in line]
    assert margins[-1] > margins[0] + 0.02
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]

    papers = manifest(run)
    assert papers["finished"]
    assert papers["counts"]["rows"] == 24
    assert papers["figures"]["steps"] == 24
    assert papers["figures"]["draws"] == 96
    assert papers["figures"]["dev"]["rows"] == 8
    dev_lines = [line for line in read_jsonl(run / "log.jsonl") if "auc" in line]
    assert [line["step"] for line in dev_lines] == [4, 8, 12, 16, 20, 24]
    best = max(dev_lines, key=lambda line: line["auc"])  # the first of equals
    assert papers["figures"]["best"] == best
    assert papers["figures"]["best_by"] == "auc"
    assert {"score_mse", "verdict_accuracy", "nDCG@10", "target_loss"} <= best.keys()
    plan = papers["figures"]["plan"]
    assert (plan["steps"], plan["draws"]["all"], plan["dev_rows"]) == (24, 96, 8)
    assert plan["rows"]["usable"] == 24
    assert "plan: 24 rows" in done.stderr
    assert orjson.loads((run / "best" / "dev.json").read_bytes()) == best
    assert papers["versions"].keys() >= {"prism", "python", "torch", "transformers", "peft"}
    summary = orjson.loads(done.stdout)
    assert summary["run"] == str(run)
    assert summary["figures"] == papers["figures"]


def test_the_run_says_what_its_rows_were_kept_clear_of(toy: Toy) -> None:
    rows = write_jsonl(
        toy.folder / "labelled.jsonl",
        [row | {"query_id": f"q{number}"} for number, row in enumerate(toy_rows(24))],
    )
    split = prism("split", rows, "-o", toy.folder / "data", "--exclude-eval", MINI)
    assert split.returncode == 0, split.stderr
    words = toy.words("--set", "max_steps=1")
    done = prism(words[0], toy.folder / "data" / "train.jsonl", *words[2:])
    assert done.returncode == 0, done.stderr
    said = manifest(toy.run)["figures"]["decontamination"]
    assert said == {
        str(toy.folder / "data" / "train.jsonl"): {"kept clear of": "mini", "dropped": {}}
    }
    assert "kept clear of mini" in done.stderr
    assert "kept clear of no evaluation set" in toy.train("--overwrite").stderr


def test_the_resolved_recipe_makes_the_same_model_again(toy: Toy) -> None:
    assert toy.train("--set", "max_steps=2").returncode == 0
    again = prism(
        "train", toy.folder / "train.jsonl", "-o", toy.folder / "again",
        "--recipe", toy.run / "recipe.toml",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert toy.adapter("again") == toy.adapter()


def test_the_adapter_loads_here_and_in_plain_peft(toy: Toy) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert toy.train("--set", "max_steps=4").returncode == 0
    loaded = load_model(str(toy.run), device="cpu", dtype="float32")
    assert loaded.profile.name == "prism-no-think"
    base = AutoModelForCausalLM.from_pretrained(toy.model, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(toy.run / "last")("a stone", return_tensors="pt").input_ids
    before = base(ids).logits.detach()
    adapted = PeftModel.from_pretrained(base, str(toy.run / "last")).eval()
    with torch.inference_mode():
        plain = adapted(ids).logits
        ours: Any = loaded.model
        torch.testing.assert_close(ours(ids).logits, plain, rtol=1e-4, atol=1e-4)
    assert float((plain - before).abs().max()) > 1e-2


def test_a_dry_run_shows_the_plan_and_leaves_nothing(toy: Toy) -> None:
    before = everything_in(toy.folder)
    done = toy.train("--dev", toy.folder / "dev.jsonl", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert "8 steps (1 of warmup), 32 draws" in done.stderr
    plan = orjson.loads(done.stdout)
    assert everything_in(toy.folder) == before
    assert toy.train("--dev", toy.folder / "dev.jsonl").returncode == 0
    assert manifest(toy.run)["figures"]["plan"] == plan


def test_dora_and_rslora_are_trained_and_merged(toy: Toy) -> None:
    words = ["--set", "lora.use_dora=true", "--set", "lora.use_rslora=true"]
    done = toy.train(*words, "--set", "max_steps=16")
    assert done.returncode == 0, done.stderr
    settings = orjson.loads((toy.run / "last" / "adapter_config.json").read_bytes())
    assert settings["use_dora"]
    assert settings["use_rslora"]
    merged = load_model(str(toy.run), device="cpu").model.state_dict()
    base = load_model(str(toy.model), device="cpu").model.state_dict()
    moved = {name for name in base if not torch.equal(merged[name], base[name])}
    assert len(moved) == 6


def test_the_reranker_recipe_starts_from_a_published_reranker(toy: Toy) -> None:
    folder = toy.folder / "Qwen3-Reranker-tiny"
    tokenizer: Any = AutoTokenizer.from_pretrained(toy.model)
    tokenizer.add_tokens(["<think>", "</think>"])
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "head_dim": 8,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    Qwen3ForCausalLM(Qwen3Config(**shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert load_encoder(str(folder)).profile.name == "qwen3-reranker"
    done = prism(
        "train", toy.folder / "train.jsonl", "-o", toy.run, "--size", "qwen3-reranker-4b",
        "--model", folder, "--max-steps", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert orjson.loads((toy.run / "last" / "prism.json").read_bytes())["profile"] == "prism"
    weights = load_file(toy.run / "last" / "adapter_model.safetensors")
    assert sum("lora_A" in name for name in weights) == 2 * 7
    assert load_model(str(toy.run), device="cpu").profile.name == "prism"


def test_full_fine_tuning(toy: Toy) -> None:
    relative = os.path.relpath(toy.model)
    words = ("--set", "method=full", "--set", "max_steps=8", "--set", "learning_rate=2e-3")
    done = toy.train("--model", relative, *words)
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(toy.run / "manifest.json")
    assert manifest is not None
    assert manifest["config"]["model"] == relative
    assert manifest["figures"]["base_spec"] == str(toy.model.resolve())
    folder = toy.run / "last"
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "adapter_config.json").exists()
    assert orjson.loads((folder / "prism.json").read_bytes())["base"] is None
    weights = load_model(str(toy.run), device="cpu").model.state_dict()
    original = load_model(str(toy.model), device="cpu").model.state_dict()
    moved = [name for name in original if not torch.equal(weights[name], original[name])]
    assert len(moved) == len(original)
    losses = [line["loss"] for line in read_jsonl(toy.run / "log.jsonl") if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]


def test_gradient_checkpointing_and_bfloat16_run(toy: Toy) -> None:
    words = ["--set", "max_steps=3", "--set", "lora.dropout=0.0", "--set", "log_steps=1"]
    assert toy.train(*words).returncode == 0
    assert toy.train(*words, "--set", "gradient_checkpointing=true", run="less").returncode == 0
    assert toy.train(*words, "--set", "dtype=bfloat16", run="short").returncode == 0

    def losses(run: str) -> list[float]:
        return [line["loss"] for line in read_jsonl(toy.folder / run / "log.jsonl")]

    assert losses("less") == pytest.approx(losses("run"), rel=1e-4)
    assert losses("short") == pytest.approx(losses("run"), rel=2e-2)


def test_a_finished_run_does_nothing(toy: Toy) -> None:
    assert toy.train("--set", "max_steps=2").returncode == 0
    before = everything_in(toy.run)
    done = toy.train("--set", "max_steps=2", "--json")
    assert done.returncode == 0
    assert "finished before; nothing is left to do" in done.stderr
    assert orjson.loads(done.stdout)["finished"]
    assert everything_in(toy.run) == before
    # Bookkeeping decides nothing of the weights.
    assert toy.train("--set", "max_steps=2", "--set", "save_steps=1").returncode == 0
    assert everything_in(toy.run) == before


def test_what_made_the_run_may_not_change_in_silence(toy: Toy) -> None:
    short = ["--set", "max_steps=2"]
    assert toy.train(*short).returncode == 0
    before = everything_in(toy.run)

    def refused(*words: str | Path) -> str:
        done = toy.train(*short, *words)
        assert done.returncode == 2, done.stderr
        assert everything_in(toy.run) == before
        return done.stderr

    assert "lora.r: was 4, is 8" in refused("--set", "lora.r=8")
    assert "limit: was not set, is 5" in refused("--limit", "5")
    assert "seed: was 0, is 1" in refused("--seed", "1")
    more = write_jsonl(toy.folder / "more.jsonl", toy_rows(2))
    added = prism(*toy.words(*short)[:2], more, *toy.words(*short)[2:])
    assert added.returncode == 2
    assert "inputs: was" in added.stderr
    assert "more.jsonl" in added.stderr
    data = toy.folder / "train.jsonl"
    rows = data.read_bytes()
    data.write_bytes(rows + write_jsonl(toy.folder / "x.jsonl", toy_rows(1, 50)).read_bytes())
    assert "its bytes changed" in refused()
    data.write_bytes(rows.replace(b"0.9", b"0.8"))
    assert "its bytes changed" in refused()
    data.write_bytes(rows)
    assert toy.train(*short).returncode == 0
    assert everything_in(toy.run) == before


def test_overwrite_replaces_what_others_made_and_goes_on_with_its_own(toy: Toy) -> None:
    dev = ["--dev", toy.folder / "dev.jsonl"]
    assert toy.train("--set", "max_steps=4", *dev).returncode == 0
    first = everything_in(toy.run)
    other = ["--set", "max_steps=4", "--seed", "1", "--overwrite"]
    done = toy.train(*other)
    assert done.returncode == 0, done.stderr
    assert toy.adapter() != first["last/adapter_model.safetensors"]
    assert not (toy.run / "best").exists()
    assert all(line["step"] <= 4 for line in read_jsonl(toy.run / "log.jsonl"))
    again = toy.train(*other)
    assert again.returncode == 0
    assert "finished before" not in again.stderr


def test_overwrite_with_a_model_that_is_not_there_touches_nothing(toy: Toy) -> None:
    assert toy.train("--set", "max_steps=2").returncode == 0
    before = everything_in(toy.run)
    done = toy.train("--model", "hf:no/such-model", "--overwrite")
    assert done.returncode == 3
    assert "no/such-model" in done.stderr
    assert everything_in(toy.run) == before


def test_half_a_removal_is_not_taken_for_a_run(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toy.train("--set", "max_steps=2").returncode == 0

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(start.shutil, "rmtree", killed)
        assert toy.train("--seed", "1", "--overwrite").returncode == 130
    assert toy.train("--set", "max_steps=2").returncode == 2
    assert toy.train("--set", "max_steps=2", "--overwrite").returncode == 0


def test_a_folder_of_something_else_is_left_alone(toy: Toy) -> None:
    toy.run.mkdir()
    (toy.run / "thesis.tex").write_text("years of work")
    done = toy.train()
    assert done.returncode == 2
    assert "no manifest says what made it" in done.stderr
    assert everything_in(toy.run) == {"thesis.tex": b"years of work"}
    # What a kill left under hidden names is nothing.
    (toy.folder / "empty").mkdir()
    (toy.folder / "empty" / ".manifest.json.part").write_bytes(b"{")
    assert toy.train("--set", "max_steps=1", run="empty").returncode == 0


def test_a_run_that_lost_its_model_is_made_again(toy: Toy) -> None:
    assert toy.train("--set", "max_steps=2").returncode == 0
    expected = toy.adapter()
    for path in (toy.run / "last").iterdir():
        path.unlink()
    (toy.run / "last").rmdir()
    assert toy.train("--set", "max_steps=2").returncode == 0
    assert toy.adapter() == expected


def test_a_locked_run_is_left_alone(toy: Toy) -> None:
    with FileLock(toy.folder / ".run.lock"):
        done = toy.train()
    assert done.returncode == 75
    assert "another run" in done.stderr
    assert not toy.run.exists()


def test_missing_data_names_the_command_that_makes_it(toy: Toy) -> None:
    done = prism("train", "--recipe", toy.folder / "toy.toml", "--model", toy.model)
    assert done.returncode == 3
    assert "data/train.jsonl" in done.stderr
    assert "prism split labelled.jsonl -o data" in done.stderr
    gone = prism("train", "gone.jsonl", "--recipe", toy.folder / "toy.toml", "--model", toy.model)
    assert gone.returncode == 3
    assert "gone.jsonl: no such file" in gone.stderr
    dev = toy.train("--dev", "nowhere.jsonl")
    assert dev.returncode == 3
    assert "nowhere.jsonl" in dev.stderr
    unlabelled = write_jsonl(toy.folder / "plain.jsonl", make_pairs(3))
    bare = prism("train", unlabelled, *toy.words()[2:])
    assert bare.returncode == 3
    assert "0 rejected, 3 dropped (no score and no verdict). Rows need a verdict" in bare.stderr
    assert "`prism relabel --judge source`" in bare.stderr


def test_default_data_and_run(toy: Toy) -> None:
    (toy.folder / "data").mkdir()
    os.rename(toy.folder / "train.jsonl", toy.folder / "data" / "train.jsonl")
    done = prism(
        "train", "--recipe", "toy.toml", "--model", str(toy.model), "--max-steps", "1", "-q"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (toy.folder / "runs" / "toy" / "last" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "mistral", "sliding_window": 64}, "layers of kind sliding_attention"),
        ({"model_type": "granite", "logits_scaling": 8.0}, r"\(logits_scaling = 8\.0\)"),
        ({"model_type": "cohere", "logit_scale": 0.25}, r"\(logit_scale = 0\.25\)"),
        ({"vocab_size": 200}, "its embedding 200; copy the tokenizer files"),
    ],
)
def test_a_model_that_cannot_rerank_is_not_trained(
    toy: Toy, settings: dict[str, Any], message: str
) -> None:
    folder = toy.folder / "model"
    shutil.copytree(toy.model, folder)
    config = orjson.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_bytes(orjson.dumps(config | settings))
    done = toy.train("--model", folder)
    assert done.returncode == 3
    assert re.search(message, done.stderr), done.stderr
    assert not toy.run.exists()


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_is_none_claims_nothing(toy: Toy, seed: str) -> None:
    done = toy.train("--seed", seed)
    assert done.returncode == 2
    assert "seed" in done.stderr
    assert not toy.run.exists()


def test_a_stop_is_noticed_while_dev_rows_are_tokenized(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []

    def tokenize(*args: Any, **more: Any) -> Any:
        checks.append(more["between"])
        return data.tokenize(*args, **more)

    monkeypatch.setattr(preparing, "tokenize", tokenize)
    done = toy.train("--dev", toy.folder / "dev.jsonl", "--dry-run")
    assert done.returncode == 0, done.stderr
    rows, dev = checks
    assert rows == dev


@pytest.mark.parametrize("output", [".", "./", "../here", "new/.."])
def test_a_run_in_the_working_folder(
    toy: Toy, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = toy.folder / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    words = toy.words("--max-steps", "1")
    done = prism(*words, "-o", output)
    assert done.returncode == 0, done.stderr
    assert (here / "last").is_dir()
    assert (toy.folder / ".here.lock").is_file()
    (toy.folder / "toy.toml").rename(here / "toy.toml")
    monkeypatch.chdir(toy.folder)
    filled = prism(*words, "--recipe", "here/toy.toml", "-o", ".")
    assert filled.returncode == 2
    assert f"{toy.folder}: " in filled.stderr


def test_a_run_directory_that_is_a_dead_link_is_refused(toy: Toy) -> None:
    toy.run.symlink_to("nowhere")
    done = toy.train()
    assert done.returncode == 2
    assert f"{toy.run}: is a link to a folder that does not exist, nowhere" in done.stderr
    assert toy.run.is_symlink()


def test_unknown_size_and_model(toy: Toy) -> None:
    done = prism("train", toy.folder / "train.jsonl", "--size", "3b")
    assert done.returncode == 3
    assert "2b-mixed" in done.stderr
    both = toy.train("--size", "tiny")
    assert both.returncode == 2
    assert "both name a recipe" in both.stderr
    nothing = toy.train("--model", str(toy.folder))
    assert nothing.returncode == 3
    assert not toy.run.exists()
    wrong = toy.train("--set", "learning_rat=1")
    assert wrong.returncode == 2
    assert "learning_rate" in wrong.stderr


def test_an_adapter_is_trained_further_with_its_own_rank(toy: Toy) -> None:
    assert toy.train("--set", "max_steps=4").returncode == 0
    stated = {"evidence_from": "selected", "fuse": 0.5}
    for path in toy.run.glob("*/prism.json"):
        path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | stated))
    still = ("--set", "max_steps=1", "--set", "learning_rate=1e-30", "--set", "lora.r=3")
    done = toy.train("--model", str(toy.run), *still, run="second")
    assert done.returncode == 0, done.stderr
    assert toy.adapter("second") == toy.adapter()
    note = orjson.loads((toy.folder / "second" / "last" / "prism.json").read_bytes())
    assert note["base"] == str(toy.model)
    assert note["evidence_from"] == "selected"
    assert "fuse" not in note, "of other scores"
    further = toy.train("--model", str(toy.run), "--set", "max_steps=3", run="third")
    assert further.returncode == 0, further.stderr
    assert toy.adapter("third") != toy.adapter()


def test_an_adapter_is_no_model_to_train_in_full(toy: Toy) -> None:
    assert toy.train("--set", "max_steps=1").returncode == 0
    done = toy.train("--model", str(toy.run), "--set", "method=full", run="second")
    assert done.returncode == 3
    assert "an adapter; expected a whole model" in done.stderr
    assert f"prism export {toy.run} -o DIR" in done.stderr
    assert not (toy.folder / "second").exists()


def test_bad_rows_are_set_aside_and_too_many_are_told(toy: Toy) -> None:
    data = toy.folder / "train.jsonl"
    data.write_bytes(data.read_bytes() + b'{"query": 5, "document": "d"}\n')
    done = toy.train("--set", "max_steps=1", "--json")
    assert done.returncode == 4
    assert orjson.loads(done.stdout)["counts"]["rejected"] == 1
    (reject,) = read_jsonl(toy.run / "train.rejects.jsonl")
    assert (reject["line"], reject["field"]) == (25, "query")
    assert (toy.run / "last").is_dir()
    assert toy.train("--set", "max_steps=1", "--max-rejects", "0.1").returncode == 0


def test_rows_from_standard_input(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    rows = (toy.folder / "train.jsonl").read_bytes()
    words = ["train", "-", *toy.words("--set", "max_steps=2")[2:]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert manifest(toy.run)["counts"]["rows"] == 24


def with_nan(toy: Toy) -> str:
    """The model with a weight that is no number."""
    broken = toy.folder / "broken"
    shutil.copytree(toy.model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    return str(broken)


def test_a_model_with_weights_that_are_no_numbers_is_refused(toy: Toy) -> None:
    done = toy.train("--model", with_nan(toy))
    assert done.returncode == 3
    assert "the base model has weights that are NaN or infinite; nothing was trained" in done.stderr
    assert "train.jsonl:" not in done.stderr, "the rows are not at fault"
    assert not (toy.run / "last").exists()


def test_a_loss_that_is_no_number_names_the_rows(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FiniteWeights, "check_start", lambda *_: None)
    done = toy.train("--model", with_nan(toy))
    assert done.returncode == 3
    assert "step 1: the loss is not a finite number for" in done.stderr
    assert f"{toy.folder / 'train.jsonl'}:" in done.stderr


def test_weights_that_become_nan_are_neither_saved_nor_published(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as once:
        once.setattr(torch.optim.AdamW, "step", torch.optim.AdamW.step)  # restored after the run
        overflow_at(4)
        done = toy.train("--dev", toy.folder / "dev.jsonl", "--max-steps", "4")
    assert done.returncode == 3, done.stderr
    assert "step 4: the trained weights became NaN or infinite" in done.stderr
    assert "train.jsonl:" not in done.stderr
    assert not (toy.run / "last").exists()
    assert not (toy.run / "best").exists()
    assert [path.name for path in (toy.run / "checkpoints").glob("check*")] == ["checkpoint-2"]
    again = toy.train("--dev", toy.folder / "dev.jsonl", "--max-steps", "4")
    assert again.returncode == 0, again.stderr
    assert "going on from step 2 of 4" in again.stderr


def test_a_checkpoint_with_nan_is_not_blamed_on_rows(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions sealed such checkpoints."""
    with monkeypatch.context() as earlier:
        earlier.setattr(FiniteWeights, "check_step", lambda *_: None)
        assert toy.train("--set", "learning_rate=1e38").returncode == 3
    done = toy.train("--set", "learning_rate=1e38")
    assert done.returncode == 3
    assert "checkpoint-2 has weights that are NaN or infinite" in done.stderr
    assert "train.jsonl:" not in done.stderr


def test_frozen_weights_in_eight_bits_are_not_checked() -> None:
    weight = torch.zeros(2, dtype=torch.float8_e4m3fn)
    model = torch.nn.ParameterList([torch.nn.Parameter(weight, requires_grad=False)])
    FiniteWeights(model, ProcessGroup(on_cpu=True)).check_start(0)


def test_an_empty_pool_is_said_aloud(toy: Toy) -> None:
    rows = [row for row in toy_rows(24) if "verdict" not in row]
    data = write_jsonl(toy.folder / "scored.jsonl", rows)
    done = prism("train", data, *toy.words("--set", "max_steps=1")[2:])
    assert done.returncode == 0
    assert "all usable rows have the pointwise objective alone" in done.stderr
    long = toy.train("--set", "max_steps=1", "--set", "warmup_steps=50", run="long")
    assert "never reaches its peak" in long.stderr


def test_a_publication_that_fails_leaves_the_former_model(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = ["--dev", toy.folder / "dev.jsonl"]
    real, calls = whole_folder.flush_folder, 0

    def full(folder: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        real(folder)

    monkeypatch.setattr(whole_folder, "flush_folder", full)
    done = toy.train(*dev, "--set", "max_steps=4")
    assert done.returncode == 3
    assert "No space left on device; what was there is whole" in done.stderr
    assert (toy.run / "best" / "adapter_model.safetensors").is_file()
    assert not (toy.run / "last").exists()
    again = toy.train(*dev, "--set", "max_steps=4")
    assert again.returncode == 0, again.stderr
    assert (toy.run / "last").is_dir()
    assert manifest(toy.run)["figures"]["dev"]["rows"] == 8
    assert manifest(toy.run)["attempts"] == 2


def test_best_survives_a_kill_between_two_renames(toy: Toy) -> None:
    dev = ["--dev", toy.folder / "dev.jsonl"]
    assert toy.train(*dev, "--set", "max_steps=4").returncode == 0
    best = publish.published_figures(toy.run, "best")
    (toy.run / "best").rename(toy.run / ".best.old")
    assert publish.published_figures(toy.run, "best") == best
    assert (toy.run / "best" / "prism.json").is_file()


def test_a_model_that_has_collapsed_is_told_of(toy: Toy) -> None:
    """All documents are alike, so that no model can tell them apart."""
    rows = read_jsonl(toy.folder / "dev.jsonl")
    for row in rows:
        row["verdict"] = "yes" if row["query_id"] in ("q50", "q52") else "no"
        row["document"] = "apples"
    write_jsonl(toy.folder / "dev.jsonl", rows)
    words = ("--dev", toy.folder / "dev.jsonl", "--set", "dev_steps=2", "--json")
    done = toy.train(*words)
    assert done.returncode == 0, done.stderr
    assert "warning: step 2: the model may have collapsed: of 8 rows, 4 of them yes" in done.stderr
    assert "warning: step 8" not in done.stderr, "the end tells of the last ones, once"
    assert f"warning: {toy.run}/last: the model may have collapsed" in done.stderr
    assert "right verdicts 0.5 (larger class 0.5)" in done.stderr
    figures = orjson.loads(done.stdout)["figures"]
    assert figures["best"]["collapsed"].startswith("the model may have collapsed")
    assert figures["dev"]["collapsed"] in done.stderr
    assert figures["dev"]["baseline"]["verdict_accuracy"] == 0.5
    assert figures["steps"] == 8, "told, not stopped"
    stopped = toy.train(*words, "--set", "stop_at_collapse=2", run="stopped")
    assert stopped.returncode == 0, stopped.stderr
    figures = orjson.loads(stopped.stdout)["figures"]
    assert (figures["steps"], figures["stopped_by"]) == (4, "stop_at_collapse")
    assert "stopped early: stop_at_collapse" in stopped.stderr


def test_steps_that_the_epochs_end_before_are_told(toy: Toy) -> None:
    done = toy.train("--epochs", "1", "--max-steps", "99")
    assert done.returncode == 0, done.stderr
    told = "12 steps instead of max_steps = 99: epochs = 1 of 48 draws, 4 a step, end first"
    assert done.stderr.count(told) == 2, "in the plan and at the end"
    manifest = read_manifest(toy.run / "manifest.json")
    assert manifest is not None
    assert manifest["config"]["epochs"] == 1.0
    again = toy.train("--epochs", "1", "--max-steps", "99")
    assert "finished before" in again.stderr


def test_a_run_of_an_earlier_version_is_still_finished(toy: Toy) -> None:
    assert toy.train().returncode == 0
    path = toy.run / "manifest.json"
    papers = orjson.loads(path.read_bytes())
    del papers["config"]["stop_at_collapse"]
    path.write_bytes(orjson.dumps(papers))
    again = toy.train()
    assert again.returncode == 0, again.stderr
    assert "finished before" in again.stderr


def test_contradictory_pairs_are_counted_by_a_dry_run(toy: Toy) -> None:
    rows = [
        {"query": f"q{number}", "document": "apples", "verdict": verdict, "teacher_score": score}
        for number in range(5)
        for verdict, score in (("yes", 0.9), ("no", 0.1))
    ]
    write_jsonl(toy.folder / "train.jsonl", rows)
    done = toy.train("--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert "5 pairs contradict themselves" in done.stderr
    found = orjson.loads(done.stdout)["contradictions"]
    assert (found["pairs"], found["rows"], len(found["first"])) == (5, 10, 3)
    assert found["first"][0].count("train.jsonl:") == 2
