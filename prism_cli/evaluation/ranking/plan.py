"""Inputs and settings of a ranking evaluation: data sets, first stages, models, options."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from prism_cli.domain.fusion import Fusion
from prism_cli.evaluation.options import EvaluationOptions
from prism_cli.evaluation.ranking.reranking import MakeRequest
from prism_cli.ports import FirstStage


class RankingSet(Protocol):
    """The data set interface that the evaluation needs."""

    @property
    def name(self) -> str:
        """Name in metrics.json."""

    @property
    def origin(self) -> str | None:
        """URL it was fetched from; None if it was not fetched."""

    @property
    def splits(self) -> list[str]:
        """Names of the splits that have judgements."""

    def files(self, split: str) -> list[Path]:
        """Files that decide its content."""

    def texts(self) -> Iterator[tuple[str, str]]:
        """(doc_id, text as the model reads it) of all documents."""

    def passages(self) -> Iterator[tuple[str, str, str]]:
        """(doc_id, title, text) of all documents."""

    def queries(self) -> Iterator[tuple[str, str]]:
        """All (query_id, query), whatever the split."""

    def judged_queries(self, split: str, limit: int | None = None) -> list[tuple[str, str]]:
        """(query_id, query) in file order."""

    def qrels(self, split: str) -> Mapping[str, Mapping[str, int]]:
        """query_id -> doc_id -> grade."""

    def unknown_queries(self, split: str) -> list[str]:
        """Judged queries without a text."""

    def missing_documents(self, split: str) -> list[str]:
        """Judged documents that the corpus does not hold."""


@dataclass(frozen=True)
class EvalSet:
    """One data set with its first stage."""

    data: RankingSet
    first_stage: FirstStage


@dataclass(frozen=True)
class EvalModel:
    """One model, as the user named it.

    Attributes:
        fingerprint: of its weights and settings, computed without loading the model.
        load: called once, and only if a ranking is missing.
        fuse: the first stage's weight that the model states; None if it states none.
    """

    name: str
    fingerprint: str
    load: Callable[[], MakeRequest]
    fuse: float | None = None


@dataclass(frozen=True, kw_only=True)
class EvalOptions(EvaluationOptions):
    """Settings of a ranking evaluation.

    Attributes:
        missing: requested set that is not available -> reason. The others are measured and
            published, and the same evaluation continues when the missing sets are there.
        tell: prints a line for people.
        fuse: fusion of each model with the first stage; None for the model's own.
        fit_fusion: fit its weight; `fit_on` names the queries, see `fusion.fit_source`.
    """

    split: str = "test"
    top_k: int = 100
    limit: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False
    accept_lost_replies: bool = False
    max_seconds: float | None = None
    tell: Callable[[str], None] = lambda _line: None
    fuse: Fusion | None = None
    fit_fusion: bool = False
    fit_on: str | None = None
