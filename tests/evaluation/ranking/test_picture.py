"""The picture of an evaluation."""

from typing import Any
from xml.etree import ElementTree

from prism_cli.evaluation.ranking.picture import bar_chart

SYSTEMS = {"bm25": 0.431, "runs/<b>": 0.612}


def metrics() -> dict[str, Any]:
    return {
        "ranking": {"set a": {name: {"nDCG@10": value} for name, value in SYSTEMS.items()}},
        "statistics": {
            "intervals": {
                "set a": {
                    name: {"nDCG@10": [value - 0.1, value + 0.1]} for name, value in SYSTEMS.items()
                }
            }
        },
    }


def test_every_system_stands_there_with_its_value() -> None:
    drawn = bar_chart(metrics())
    words = "".join(ElementTree.fromstring(drawn).itertext())
    assert all(word in words for word in ("set a", "bm25", "runs/<b>", "0.431", "0.612", "nDCG@10"))


def test_same_metrics_same_bytes() -> None:
    assert bar_chart(metrics()) == bar_chart(metrics())
