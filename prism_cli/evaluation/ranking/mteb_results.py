"""Rankings as mteb's result files: OUT/mteb/MODEL/REVISION/TASK.json, as `TaskResult` reads them.

No times in them: the same ranking gives the same bytes.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from prism_cli.domain.metrics import Qrels, mean, per_query
from prism_cli.evaluation.ranking.runs import Run
from prism_cli.shards.writer import whole_file

CUTS = (1, 3, 5, 10, 20, 100, 1000)
"""mteb's."""
DECIMALS = 6
_NAMES = {
    "ndcg_at": "nDCG",
    "map_at": "AP",
    "recall_at": "R",
    "precision_at": "P",
    "mrr_at": "RR",
}
TASKS = {
    "nfcorpus": "NFCorpus",
    "scifact": "SciFact",
    "scidocs": "SCIDOCS",
    "fiqa": "FiQA2018",
    "trec-covid": "TRECCOVID",
    "webis-touche2020": "Touche2020",
    "touche2020": "Touche2020",
    "dbpedia-entity": "DBPedia",
    "dbpedia": "DBPedia",
    "nq": "NQ",
    "hotpotqa": "HotpotQA",
}
"""BEIR's or the paper's name -> mteb's, of the nine sets; another set has its own name."""
_ENGLISH, _UNKNOWN = "eng-Latn", "und-Zyyy"
"""mteb counts no score that is of no language."""


def mteb_scores(qrels: Qrels, run: Run, queries: list[str], top_k: int) -> dict[str, float]:
    """mteb's names -> the mean over queries, at mteb's cuts that `top_k` candidates fill."""
    cuts = [cut for cut in CUTS if cut <= max(top_k, 10)]
    names = {f"{theirs}_{cut}": f"{ours}@{cut}" for theirs, ours in _NAMES.items() for cut in cuts}
    values = per_query(qrels, run, queries, list(names.values()))
    scores = {theirs: round(mean(values[ours]), DECIMALS) for theirs, ours in names.items()}
    return {**scores, "main_score": scores["ndcg_at_10"]}


def write_task(
    folder: Path,
    *,
    dataset: str,
    data_revision: str,
    split: str,
    system: str,
    revision: str,
    scores: Mapping[str, float],
) -> None:
    """Publish one set's result of one system.

    Args:
        data_revision, revision: digests of the data set, of the system.
    """
    task, language = TASKS.get(dataset, dataset), _ENGLISH if dataset in TASKS else _UNKNOWN
    content: dict[str, Any] = {
        "dataset_revision": data_revision,
        "task_name": task,
        "mteb_version": None,
        "scores": {split: [{**scores, "hf_subset": "default", "languages": [language]}]},
        "evaluation_time": None,
        "kg_co2_emissions": None,
    }
    name = re.sub(r"[^A-Za-z0-9._-]+", "__", system).strip("_.") or "system"
    with whole_file(folder / name / revision / f"{task}.json") as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
