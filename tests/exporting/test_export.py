"""`prism export`: what it refuses, repeats, survives and tells."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.repocard import metadata_load
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from prism_cli.adapters.runtimes.transformers_runtime import load_reranker
from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.domain.prompting import PRISM
from prism_cli.exporting import folder_record, quantizing, run
from prism_cli.exporting.comparing import collapse_of
from prism_cli.exporting.source import find_source
from prism_cli.modeling.loading import load_model
from prism_cli.modeling.model_dir import write_profile
from prism_cli.modeling.model_folder import resolve_model
from prism_cli.modeling.model_path import _EMBEDDED as EMBEDDED
from prism_cli.shards import whole_folder
from prism_cli.shards.manifest import InputRecord, Manifest
from tests.door import Done, prism
from tests.exporting.conftest import Exported, write_model
from tests.reporting.evaluations import ranking, written

HOSTILE = "run|a`<script>*x*"
PAIRS = [("capital of France?", "Paris."), ("capital of France?", "Water and light.")]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def copy(exported: Callable[[str], Exported], tmp_path: Path) -> Path:
    """An export that may be spoilt."""
    folder = tmp_path / "copy"
    shutil.copytree(exported("llama")[0], folder)
    return folder


@pytest.fixture
def llama(model: Callable[[str], Path]) -> Path:
    return model("llama")


def test_an_export_into_the_working_folder(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(llama, tmp_path / "model")
    monkeypatch.chdir(here)
    done = prism("export", "../model", "-o", ".")
    assert done.returncode == 0, done.stderr
    assert (here / "model.safetensors").is_file()
    assert "the working folder was replaced by the export; enter it again: cd ." in done.stderr
    monkeypatch.chdir(tmp_path)
    filled = prism("export", "model", "-o", "./")
    assert filled.returncode == 2
    assert f"{tmp_path}: " in filled.stderr


def trained(folder: Path, base: Path) -> Path:
    """A finished run directory with two adapters, as `prism train` leaves it."""
    for seed, name in enumerate(("last", "best")):
        loaded = load_model(str(base))
        torch.manual_seed(seed)
        tuned: Any = get_peft_model(
            loaded.model,
            LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
        )
        tuned.save_pretrained(folder / name)
        loaded.tokenizer.save_pretrained(folder / name)
        write_profile(folder / name, PRISM, str(base), ModelDefaults(48, "selected", 0.25))
    digest = "ab" * 32
    manifest = Manifest(
        "train",
        {"model": str(base), "method": "lora", "epochs": 2.0, "max_steps": None, "lora": {"r": 2}},
        [InputRecord("/secret/place/train.jsonl", 1234, digest)],
        counts={
            "rows": 40, "pointwise": 30, "sft": 20, "truncated": 3, "rejected": 1,
            "dropped": {"unusable": 2},
        },
        figures={
            "steps": 8,
            "draws": 64,
            "dev": {"rows": 5, "auc": 0.75},
            "best": {"step": 4, "auc": 0.8125},
            "decontamination": {
                "train.jsonl": {"kept clear of": ["beir/scifact", "/secret/fiqa"], "dropped": {}}
            },
        },
        seconds=12.0,
        finished=True,
    )  # fmt: skip
    manifest.write(folder / "manifest.json")
    return folder


def test_a_folder_of_the_name_of_an_embedded_model_is_not_its_run(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EMBEDDED, "prism-tiny", lambda: llama)
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(llama, "prism-tiny/best")).parent
    Manifest("train", {"model": "org/base"}, [], finished=True).write(folder / "manifest.json")
    embedded, own = find_source("hf:prism-tiny"), find_source("prism-tiny")
    assert (embedded.run, embedded.base_name) == (None, None)
    assert (own.run, own.base_name) == (folder, "org/base")


def test_a_run_goes_to_its_export_folder_with_a_card_of_its_own(
    llama: Path, tmp_path: Path
) -> None:
    folder = trained(tmp_path / "runs" / HOSTILE, llama)
    mine = f"{resolve_model(str(folder / 'best')).fingerprint} {PRISM.hash} torch.float32 cpu 10240"
    other = mine.replace(mine[:8], "0" * 8)
    figures = {"squad": {"bm25": 0.5, "m": 0.625}}
    settings: dict[str, Any] = {"config": {"first_stage": "bm25"}}
    for name, identity in (("mine", mine), ("other", other)):
        measured = ranking(figures, models={"m": identity}, **settings) | {"runs": {"squad": {}}}
        measured["statistics"]["intervals"]["squad"]["bm25"]["nDCG@10"] = None
        words = ["prism", "eval", "/secret/place/squad", "--model=/secret/place/m", "-o", "~/out"]
        measured["provenance"]["command"] = words
        written(folder.parent / "eval" / name, measured)
    done = prism("export", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert "loading best/ of" in done.stderr
    said = json.loads(done.stdout)
    assert said["check"]["largest"] < 1e-4
    assert Path(said["output"]) == folder / "export"
    assert list(said["config"]["evaluations"]) == ["mine"]
    note = json.loads((folder / "export" / "prism.json").read_text())
    assert (note["window_tokens"], note["evidence_from"], note["fuse"]) == (48, "selected", 0.25)
    text = (folder / "export" / "README.md").read_text()
    front = metadata_load(folder / "export" / "README.md")
    assert front is not None
    assert front["pipeline_tag"] == "text-ranking"
    assert "<script>" not in text.replace("`", "")
    assert "# run\\|a\\`\\<script\\>\\*x\\*\n" in text
    for expected in (
        "8 optimizer steps", "40 training rows: 30 with the pointwise", "ab" * 32, "train.jsonl",
        "kept clear of beir/scifact, fiqa", "Dev rows at the best step (these weights): step 4",
        "AUC 0.8125", "epochs = 2.0", "| 0.6250 | 0.5750 to 0.6750 |", "this model",
        "| 0.5000 | – |", "`prism eval squad --model=m -o out`",
        "an adapter, merged into the base", "| base | `llama` |", "licence of the base | unknown",
    ):  # fmt: skip
        assert expected in text, expected
    assert "/secret/place" not in text
    assert str(llama) not in text
    assert text.count("this model") == 1

    again = prism("export", folder)
    assert again.returncode == 0
    assert "finished before; nothing to do" in again.stderr
    later = ranking(figures, models={"m": mine}, **settings) | {"runs": {"squad": {}}}
    written(folder.parent / "eval" / "later", later)
    again = prism("export", folder)
    assert again.returncode == 0
    assert "its card has other evaluations than there are now: --overwrite" in again.stderr
    last = prism("export", folder / "last")
    assert last.returncode == 2
    assert "model: was" in last.stderr
    assert "adapter/adapter_model.safetensors: its bytes changed" in last.stderr
    assert json.loads((folder / "export" / "manifest.json").read_text())["finished"]


def test_weights_keep_the_types_of_the_base(tmp_path: Path, small_tokenizer: Path) -> None:
    """Most in bfloat16, some in float32, as Qwen3.5 is published."""
    base = write_model(tmp_path / "base", "qwen3_5", small_tokenizer)
    path = base / "model.safetensors"
    tensors = {
        name: tensor if "A_log" in name else tensor.to(torch.bfloat16)
        for name, tensor in load_file(path).items()
    }
    save_file(tensors, path, {"format": "pt"})
    done = prism("export", base, "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["config"]["dtype"] == "bfloat16, as the base is stored"
    assert said["check"]["largest"] < 1e-5
    found = load_file(Path("out/model.safetensors"))
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    assert json.loads(Path("out/config.json").read_text())["dtype"] == "bfloat16"


def test_a_type_can_be_chosen(llama: Path) -> None:
    done = prism("export", llama, "-o", "out", "--dtype", "bf16")
    assert done.returncode == 0, done.stderr
    with safe_open("out/model.safetensors", "pt") as file:
        slices: Any = file
        kinds = {slices.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds == {"BF16"}
    assert "largest difference of a logit" in done.stderr
    assert done.stdout.startswith("vllm serve out --runner pooling")


def refused(done: Done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr


def test_what_it_does_not_touch(llama: Path, copy: Path) -> None:
    refused(prism("export", llama), 2, "name the output folder with -o")
    refused(prism("export", llama, "-o", llama), 2, "the model's own folder")
    home = Path("thesis")
    home.mkdir()
    (home / "chapter").write_text("x")
    for more in ((), ("--overwrite",)):
        refused(prism("export", llama, "-o", home, *more), 2, "no `prism export` made it")
    assert names(home) == {"chapter"}
    changed = prism("export", llama, "-o", copy, "--dtype", "float16")
    refused(changed, 2, "dtype: was 'float32")
    assert "ledger" not in changed.stderr
    (copy / "README.md").write_text("my own card")
    done = prism("export", llama, "-o", copy)
    assert done.returncode == 0
    assert (copy / "README.md").read_text() == "my own card"
    (copy / "config.json").write_text("{}")
    refused(prism("export", llama, "-o", copy), 2, "changed since its export: config.json")
    refused(prism("export", llama, "-o", "out", "--quantize", "int3"), 2, "one of int8")
    refused(prism("export", llama, "-o", "out", "--dtype", "int3"), 3, "--dtype int3")


def test_overwrite_replaces_an_export(llama: Path, copy: Path) -> None:
    done = prism("export", llama, "-o", copy, "--dtype", "float16", "--overwrite", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["dtype"] == "float16"


def test_weights_that_score_otherwise_are_not_published(
    llama: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run.cast

    def spoil(model: Any, dtype: str, base: Path) -> None:
        real(model, dtype, base)
        model.model.layers[1].mlp.down_proj.weight.data.mul_(1.5)

    monkeypatch.setattr(run, "cast", spoil)
    done = prism("export", llama, "-o", copy, "--overwrite", "--dtype", "float32")
    refused(done, 3, "scores differ", "largest difference is", "nothing was published")
    assert json.loads((copy / "manifest.json").read_text())["config"]["dtype"] != "float32"
    assert names(copy.parent) == {"copy", "home", ".copy.lock"}


def test_a_template_of_another_prompt_is_not_published(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prism_cli.exporting import layout

    real = layout.chat_template
    monkeypatch.setattr(
        layout, "chat_template", lambda profile: real(profile).replace("<Query>: ", "<Query>:")
    )
    refused(prism("export", llama, "-o", "out"), 3, "chat template gives other tokens")
    assert not Path("out").exists()


def test_a_full_disk_leaves_nothing(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path) -> Any:
        return shutil._ntuple_diskusage(10**9, 10**9, 1000)  # type: ignore[attr-defined]

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", full)
        refused(prism("export", llama, "-o", "out"), 3, "GB are free", "nothing was written")

    def half(folder: Path) -> None:
        (folder / folder_record.SUMS).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "write_sums", half)
    refused(prism("export", llama, "-o", "out"), 3, "No space left", "nothing was published")
    assert names(Path()) == {"home", ".out.lock"}


def test_killed_before_the_rename_the_same_command_finishes(
    llama: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder in the making of a killed run stays, and is replaced."""

    class Killed(BaseException):
        pass

    def kill(_folder: Path) -> None:
        raise Killed

    words = ("export", llama, "-o", copy, "--overwrite", "--dtype", "float16")
    with monkeypatch.context() as patched:
        patched.setattr(whole_folder, "flush_folder", kill)
        patched.setattr(whole_folder.shutil, "rmtree", lambda *_args, **_more: None)
        with pytest.raises(BaseException):  # noqa: B017, PT011
            prism(*words)
    assert "float32" in (copy / "manifest.json").read_text()
    assert len(list(copy.parent.glob(".copy.*.part"))) == 1
    done = prism(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["dtype"] == "float16"
    assert not list(copy.parent.glob(".copy.*.part"))


def test_two_at_once(llama: Path) -> None:
    from prism_cli.shards.lock import output_lock

    with output_lock(Path("out")):
        refused(prism("export", llama, "-o", "out"), 75, "another run is working")


def test_quantizing_needs_its_extra(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "find_spec", lambda _name: None)
    done = prism("export", llama, "-o", "out", "--quantize", "int8")
    refused(done, 3, "needs torchao", "'prism-cli[quantize]'")


def test_quantized_weights_are_small_and_near(llama: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    done = prism(
        "export", llama, "-o", "out", "--quantize", "int8", "--dtype", "bfloat16", "--json"
    )
    assert done.returncode == 0, done.stderr
    check = json.loads(done.stdout)["check"]
    assert 0 < check["largest"] < 1
    ours = load_reranker("out", device="cpu", dtype="float32").logits(PAIRS)
    wide = {"dtype": torch.float32}
    theirs = CrossEncoder("out", device="cpu", local_files_only=True, model_kwargs=wide)
    identity = torch.nn.Identity()
    found = theirs.predict(PAIRS, activation_fn=identity, show_progress_bar=False)
    assert found.tolist() == pytest.approx(ours, abs=1e-2)
    refused(prism("export", "out", "-o", "again"), 3, "its weights are quantised")
    assert "int8" in Path("out/README.md").read_text()


def test_a_model_that_knows_no_relevance_is_warned_of_or_refused(
    exported: Callable[[str], Exported], llama: Path, tmp_path: Path
) -> None:
    folder, said = exported("llama")
    (warning,) = said["warnings"]
    assert "a known relevant pair scores" in warning
    text = (folder / "README.md").read_text()
    assert text.count("**Warning:** ") == 1
    assert "Its scores may mean nothing." in text
    strict = prism("export", llama, "-o", tmp_path / "strict", "--strict-model")
    refused(strict, 3, "a known relevant pair scores", "because of --strict-model")
    assert not (tmp_path / "strict").exists()
    again = prism("export", llama, "-o", folder)
    assert again.returncode == 0
    assert "finished before" in again.stderr
    assert "prism export: warning: the exported model: a known relevant" in again.stderr


def test_the_card_and_the_terminal_repeat_what_the_run_told_of_a_collapse(
    llama: Path, tmp_path: Path
) -> None:
    folder = trained(tmp_path / "run", llama)
    manifest = json.loads((folder / "manifest.json").read_text())
    told = "the model may have collapsed: of 8 rows, 4 of them yes, it says no to all of them"
    manifest["figures"]["best"]["collapsed"] = told
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = prism("export", folder)
    assert done.returncode == 0, done.stderr
    assert f"prism export: warning: dev rows: {told}" in done.stderr
    assert f"**Warning:** dev rows: {told}" in (folder / "export" / "README.md").read_text()


def test_equal_exports_are_equal_files(
    exported: Callable[[str], Exported], llama: Path, tmp_path: Path
) -> None:
    first, _ = exported("llama")
    second = tmp_path / "second"
    assert prism("export", llama, "-o", second).returncode == 0
    inside = {str(one.relative_to(first)) for one in first.rglob("*") if one.is_file()}
    assert inside == {str(one.relative_to(second)) for one in second.rglob("*") if one.is_file()}
    for name in inside - {"manifest.json", "SHA256SUMS"}:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    papers = [json.loads((folder / "manifest.json").read_text()) for folder in (first, second)]
    for one in papers:
        del one["attempt"], one["seconds"]
    assert papers[0] == papers[1]


@pytest.mark.parametrize(
    ("own", "other", "told"),
    [
        (3.0, -3.0, None),
        (-2.0, -9.0, "it says no to all of them"),
        (-9.2, -9.21, "a known relevant pair scores 0.0001, an irrelevant one 0.0001"),
        (0.0, 1.0, "another prompt profile"),
    ],
)
def test_what_the_compared_pairs_tell_of_a_model(
    own: float, other: float, told: str | None
) -> None:
    found = collapse_of([own, other] * 17)
    assert found is None if told is None else found is not None and told in found
