"""metrics.json of finished evaluations, small."""

from pathlib import Path
from typing import Any

from prism_cli.evaluation.metrics_file import METRICS, provenance, publish
from prism_cli.reporting.page import Page

Systems = dict[str, float]


def origin(**changes: dict[str, Any]) -> dict[str, Any]:
    """Provenance with some parts replaced."""
    parts: dict[str, Any] = {
        "config": {"top_k": 100, "seed": 0},
        "versions": {"prism": "1"},
        "files": {"data/a/queries.jsonl": "aa", "data/a/corpus.jsonl": "cc"},
        "models": {},
    }
    return provenance(["prism", "eval", "data/a"], **(parts | changes))


def ranking(sets: dict[str, Systems], **changes: dict[str, Any]) -> dict[str, Any]:
    """Of data set -> system -> nDCG@10; R@100 is a tenth more."""
    measured = {
        dataset: {
            system: {"nDCG@10": value, "R@100": value + 0.1} for system, value in systems.items()
        }
        for dataset, systems in sets.items()
    }
    spans = {
        dataset: {
            system: {name: [value - 0.05, value + 0.05] for name, value in measures.items()}
            for system, measures in systems.items()
        }
        for dataset, systems in measured.items()
    }
    return {
        "kind": "ranking",
        "ranking": measured,
        "statistics": {"intervals": spans, "comparisons": []},
        "provenance": origin(**changes),
    }


def quality(answer: float, rows: int = 40, **changes: dict[str, Any]) -> dict[str, Any]:
    """With a figure that is missing, a nested one, and a baseline."""
    return {
        "kind": "quality",
        "quality": {
            "answer_retention": answer,
            "rationale_recall": None,
            "compression_median": 0.25,
            "scores": {"brier": 0.1},
            "baselines": {"document": {"answer_retention": 1.0}},
        },
        "statistics": {
            "intervals": {
                "answer_retention": [answer - 0.1, answer + 0.1],
                "document.answer_retention": [0.98, 1.0],
            },
            "counts": {"answer_retention": rows},
        },
        "provenance": origin(**changes),
    }


def written(folder: Path, metrics: dict[str, Any]) -> Path:
    """A folder with that metrics.json."""
    content = {name: value for name, value in metrics.items() if name != "kind"}
    folder.mkdir(parents=True, exist_ok=True)
    publish(folder / METRICS, metrics["kind"], content, Page("", "", ()), lambda _: None)
    return folder
