"""A data set whose candidates a first stage has ranked, and models rank again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prism_cli.errors import UsageError
from prism_cli.evaluation.ranking.cached_runs import CachedRuns, Ranking
from prism_cli.evaluation.ranking.figures import JudgedSet
from prism_cli.evaluation.ranking.fusion import FIT_SHARE, FusionCase
from prism_cli.evaluation.ranking.plan import EvalModel
from prism_cli.evaluation.ranking.reranking import MakeRequest
from prism_cli.evaluation.ranking.runs import run_fingerprint


@dataclass(frozen=True)
class RankedSet:
    """A data set whose candidates are cached in `runs`.

    Attributes:
        judged: all queries that are ranked.
        first_stage: its name.
        fingerprint: of the candidates.
    """

    judged: JudgedSet
    first_stage: str
    fingerprint: str
    runs: CachedRuns

    def by_model(self, model: EvalModel, load: Callable[[], MakeRequest]) -> Ranking:
        """Return the model's ranking of the candidates; `load` is called if it is not cached."""
        candidates = self.first_stage, self.fingerprint
        fingerprint = self._fingerprint(model)
        return self.runs.of_model(self.judged, model.name, load, fingerprint, candidates)

    def has_candidates(self, queries: JudgedSet) -> bool:
        """Return whether the first stage has candidates for any of the queries."""
        candidates, _ = self.runs.find(self.judged.data.name, self.first_stage, self.fingerprint)
        return any(candidates.get(query_id) for query_id in queries.ids)

    def case(self, queries: JudgedSet, model: EvalModel) -> FusionCase:
        """Return both rankings of some of the queries, after `by_model`."""
        name = self.judged.data.name
        candidates, _ = self.runs.find(name, self.first_stage, self.fingerprint)
        run, note = self.runs.find(name, model.name, self._fingerprint(model))
        ids = [query_id for query_id in queries.ids if query_id in run]
        candidates = {query_id: candidates[query_id] for query_id in ids}
        return FusionCase(queries, candidates, {query_id: run[query_id] for query_id in ids}, note)

    def _fingerprint(self, model: EvalModel) -> str:
        return run_fingerprint(self.fingerprint, model.fingerprint)


@dataclass(frozen=True)
class FitQueries:
    """Queries to fit a fusion on.

    Attributes:
        ranked: the set that has them, possibly among others.
        source: their split, or their share of the evaluated queries, which are reported without
            them.
    """

    ranked: RankedSet
    queries: JudgedSet
    source: str | float


def check_candidates(fits: Sequence[FitQueries]) -> None:
    """Raise UsageError where there are queries to fit on, and none has candidates."""
    if fits and not any(fit.ranked.has_candidates(fit.queries) for fit in fits):
        raise UsageError(
            "--fit-fusion: the first stage has no candidates for the queries to fit on; a run of "
            f"another split? --fit-on {FIT_SHARE} takes a share of the reported queries"
        )
