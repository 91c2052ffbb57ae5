"""`prism eval --first-stage st:…` through the real command."""

import json
import shutil
from pathlib import Path

import pytest

from prism_cli.adapters.datasets.beir_qa import NINE
from tests.adapters.first_stages.bi_encoders import tiny_bert, tiny_jina
from tests.door import prism
from tests.mini import MINI

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_minilm_is_ranked_and_its_vectors_serve_another_split_and_output() -> None:
    words = ("--model", "none", "--first-stage", "st:minilm", "--device", "cpu")
    Path("prism.toml").touch()
    done = prism("eval", MINI, *words, "-o", "out")
    assert done.returncode == 0, done.stderr
    content = json.loads(Path("out/metrics.json").read_text())
    assert 0.75 < content["ranking"]["mini"]["st:minilm"]["nDCG@10"] < 0.97
    assert content["datasets"]["mini"]["first_stage"].startswith("bi-encoder 1 ")
    assert "paper" not in content
    (block,) = Path(".prism/embeddings").glob("*/00000.npy")
    modified = block.stat().st_mtime_ns
    other = prism("eval", MINI, *words, "--split", "train", "-o", "two")
    assert other.returncode == 0, other.stderr
    assert [path.stat().st_mtime_ns for path in Path(".prism/embeddings").glob("*/*.npy")] == [
        modified
    ]
    rerun = prism("eval", MINI, *words, "-o", "out")
    assert "finished before, nothing to do" in rerun.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["st:./nowhere"], 3, "st:./nowhere: no such directory"),
        (["st:"], 2, "expected st:minilm"),
        (["bm25", "--trust-remote-code", f"my/model@{COMMIT}"], 2, "goes with --first-stage st:"),
        (["st:my/model", "--trust-remote-code", "my/model@main"], 2, "40 hexadecimal digits"),
        (["st:my/model", "--trust-remote-code", f"my/other@{COMMIT}"], 2, "expected st:my/other"),
        (["st:my/model", "--trust-remote-code", f"my/model@{COMMIT}"], 3, "not in the hub cache"),
    ],
)
def test_an_invalid_first_stage_is_reported(words: list[str], code: int, message: str) -> None:
    done = prism("eval", MINI, "--model", "none", "--first-stage", *words, "-o", "out")
    assert done.returncode == code, done.stderr
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not Path("out").exists()


def test_trusted_code_is_in_the_run_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    tiny_bert(tmp_path / "hub" / "models--my--model" / "snapshots" / COMMIT)
    words = ("--first-stage", "st:my/model", "--trust-remote-code", f"my/model@{COMMIT}")
    done = prism("eval", MINI, "--model", "none", *words, "--limit", "3", "--json", "-q")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["provenance"]["config"]["trust_remote_code"] == f"my/model@{COMMIT}"
    assert f"code my/model@{COMMIT}" in content["datasets"]["mini"]["first_stage"]


def test_the_papers_figures_are_shown_for_the_papers_setting_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--jinaai--jina-embeddings-v3-hf"
    tiny_jina(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for dataset in NINE:
        shutil.copytree(MINI, Path("data") / dataset.name)
    Path("prism.toml").touch()
    words = ("eval", "beir-qa", "--data-dir", "data", "--model", "none", "--device", "cpu")
    jina = ("--first-stage", "st:jinaai/jina-embeddings-v3")
    done = prism(*words, *jina, "-o", "out")
    assert done.returncode == 0, done.stderr
    content = json.loads(Path("out/metrics.json").read_text())
    assert content["paper"]["nDCG@10"]["Qwen3-Reranker-4B by the paper's recipe"] == 0.5887
    assert "the paper's, over the same candidates" in done.stdout
    assert len(list(Path(".prism/embeddings").iterdir())) == 1, "equal corpora share vectors"
    for other in (("--limit", "3"), ("--top-k", "20"), ("--sets", "nq,fiqa")):
        less = prism(*words, *jina, *other, "-o", f"out{other[0]}")
        assert less.returncode == 0, less.stderr
        assert "paper" not in json.loads(Path(f"out{other[0]}/metrics.json").read_text())
        assert "the paper's" not in less.stdout
