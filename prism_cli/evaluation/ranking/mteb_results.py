"""Result files of mteb: OUT/mteb/MODEL/REVISION/TASK.json, in the form of `TaskResult`.

They contain no times: the same ranking gives the same bytes.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from prism_cli.domain.metrics import Qrels, mean, query_values
from prism_cli.evaluation.ranking.runs import Run
from prism_cli.shards.writer import whole_file

CUTS = (1, 3, 5, 10, 20, 100, 1000)
"""Cut-offs of mteb."""
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
"""BEIR's or the paper's name -> mteb's, for the nine sets; other sets keep their name."""
_ENGLISH, _UNKNOWN = "eng-Latn", "und-Zyyy"
"""mteb ignores scores without a language."""


def mteb_scores(qrels: Qrels, run: Run, queries: list[str], top_k: int) -> dict[str, float]:
    """Return mteb's name -> mean over queries, at those of mteb's cut-offs that `top_k` reaches."""
    cuts = [cut for cut in CUTS if cut <= max(top_k, 10)]
    names = {
        f"{mteb_name}_{cut}": f"{name}@{cut}" for mteb_name, name in _NAMES.items() for cut in cuts
    }
    values = query_values(qrels, run, queries, list(names.values()))
    scores = {mteb_name: round(mean(values[name]), DECIMALS) for mteb_name, name in names.items()}
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
    """Publish the result of one system on one set.

    Args:
        data_revision, revision: digests of the data set and of the system.
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
