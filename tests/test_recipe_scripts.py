"""The scripts under recipes/: gold files of public data sets, cron and SLURM."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shown_commands import SCRIPTS

RECIPES = Path(__file__).parent.parent / "recipes"
PRISM = '#!/bin/sh\necho "prism $*"\nexit "$PRISM_CODE"\n'
SCONTROL = '#!/bin/sh\necho "scontrol $*"\n'


def gold(script: str, *files: Path) -> list[dict[str, object]]:
    words = [sys.executable, RECIPES / "gold" / script, *files]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_script(path: Path, folder: Path, prism_code: int) -> tuple[int, list[str]]:
    """Return exit code and calls of a script, with fake commands that print their arguments."""
    for name, text in (("prism", PRISM), ("scontrol", SCONTROL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    env = {
        **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PRISM_CODE": str(prism_code),
        "SLURM_ARRAY_TASK_ID": "7", "SLURM_JOB_ID": "4711",
    }  # fmt: skip
    words = ["bash", str(path)]
    done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


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
    context = [["Ann", ["Ann found it.", "She was 30."]], ["Bob", ["Bob did not."]]]
    facts = [["Bob", 0], ["Ann", 0], ["Ann", 1], ["Ann", 9]]
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


@pytest.mark.parametrize(("prism_code", "code"), [(0, 0), (3, 3), (7, 0)])
def test_slurm_requeues_a_task_that_ran_out_of_time(
    tmp_path: Path, prism_code: int, code: int
) -> None:
    ended, calls = run_script(RECIPES / "slurm/rerank-array.sbatch", tmp_path, prism_code)
    assert ended == code
    assert calls[0].startswith("prism rerank shards/part-00007.jsonl -o reranked/ ")
    assert calls[1:] == (["scontrol requeue 4711"] if prism_code == 7 else [])
