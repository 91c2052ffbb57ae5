"""Specs to adapters: the one module that knows them all, each imported where it is asked for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.ports import FirstStage


def first_stage(spec: str, data: "BeirSet") -> "FirstStage":
    """What proposes candidates for `data`: `bm25`, or the TREC run file that `spec` names.

    Raises:
        MissingDataError: no such file.
    """
    if spec == "bm25":
        from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage

        return Bm25FirstStage(data.texts())
    from pathlib import Path

    from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage

    return TrecRunFirstStage(Path(spec.replace("{dataset}", data.name)))
