"""Rankings made once and kept: a first stage's candidates, and a model's new order of them."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from prism_cli.domain.metrics import without_itself
from prism_cli.domain.trec import falling_scores
from prism_cli.engine.progress import Progress
from prism_cli.engine.progress_display import show_progress
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.errors import StorageError
from prism_cli.evaluation.metrics_file import METRICS
from prism_cli.evaluation.ranking.figures import JudgedSet
from prism_cli.evaluation.ranking.plan import EvalOptions, EvalSet
from prism_cli.evaluation.ranking.reranking import MakeRequest, candidate_texts, rerank_candidates
from prism_cli.evaluation.ranking.runs import Run, RunNote, RunStore
from prism_cli.ports import FirstStage, PreparedFirstStage

Ranking = tuple[Run, RunNote]


class CachedRuns:
    """The rankings of one evaluation; one that is kept is never made again.

    Args:
        systems: all of the evaluation, first stages and models.
        answerer: asks the models.
    """

    def __init__(
        self, options: EvalOptions, systems: Sequence[str], answerer: RequestRunner
    ) -> None:
        self._options, self._answerer = options, answerer
        self._store = RunStore(options.output / "runs", systems)

    def of_first_stage(self, one: EvalSet, judged: JudgedSet, fingerprint: str) -> Ranking:
        """The candidates of each query, best first."""
        spec = one.first_stage.spec
        return self._kept(
            judged, spec, fingerprint, lambda: self._candidates(one, judged, fingerprint)
        )

    def of_model(
        self,
        judged: JudgedSet,
        model: str,
        ask: Callable[[], MakeRequest],
        fingerprint: str,
        candidates: tuple[str, str],
    ) -> Ranking:
        """The candidates in the model's order.

        Args:
            ask: gives the loaded model; called only where the ranking is not there.
            candidates: name and fingerprint of the first stage's ranking.
        """
        return self._kept(
            judged,
            model,
            fingerprint,
            lambda: self._reranked(judged, model, ask(), fingerprint, candidates),
        )

    def _kept(
        self, judged: JudgedSet, system: str, fingerprint: str, make: Callable[[], Ranking]
    ) -> Ranking:
        self._answerer.control.check()
        dataset = judged.data.name
        found = self._store.find(dataset, system, fingerprint)
        if found is not None:
            self._options.tell(f"{dataset}: {system} was finished before")
            return found
        made, note = make()
        run = {query_id: _falling(hits) for query_id, hits in made.items()}
        self._store.save(dataset, system, run, note)
        return run, note

    def _candidates(self, one: EvalSet, judged: JudgedSet, fingerprint: str) -> Ranking:
        started = time.monotonic()
        queries, top_k = judged.queries, self._options.top_k
        run: Run = {}
        label = f"{one.data.name}: {one.first_stage.spec}"
        self._prepare(one.first_stage, f"{label}: documents")
        with (
            self._progress(label, len(queries)) as progress,
            self._answerer.control.interruptible(),
        ):
            found = one.first_stage.search(queries, top_k + 1)
            for (query_id, _), hits in zip(queries, found, strict=True):
                self._answerer.control.check()
                run[query_id] = without_itself(query_id, hits, judged.qrels[query_id])[:top_k]
                progress.advance(1, 0.0)
        pairs = sum(map(len, run.values()))
        return run, RunNote(fingerprint, pairs, seconds=_since(started))

    def _prepare(self, first_stage: FirstStage, label: str) -> None:
        """Have it done what it keeps; what it writes appears whole or not at all."""
        if isinstance(first_stage, PreparedFirstStage):
            with (
                self._progress(label, first_stage.size()) as progress,
                self._answerer.control.interruptible(),
            ):
                for documents in first_stage.prepare():
                    self._answerer.control.check()
                    progress.advance(documents, 0.0)

    def _reranked(
        self,
        judged: JudgedSet,
        model: str,
        ask: MakeRequest,
        fingerprint: str,
        candidates: tuple[str, str],
    ) -> Ranking:
        started = time.monotonic()
        name = judged.data.name
        kept = self._store.find(name, *candidates)
        if kept is None:
            raise StorageError(f"{self._store.path(name, candidates[0])}: was written, and is gone")
        run, _ = kept
        texts = candidate_texts(judged.data.texts(), run)
        pairs = sum(map(len, run.values()))
        with self._progress(f"{name}: {model}", pairs) as progress:
            made = rerank_candidates(ask, judged.queries, run, texts, self._answerer, progress)
        return made.run, RunNote(fingerprint, pairs, made.truncated, made.unscored, _since(started))

    def _progress(self, label: str, total: int) -> AbstractContextManager[Progress]:
        papers = self._options.output / METRICS
        return show_progress(label, total, quiet=self._options.quiet, record_path=papers)


def _falling(hits: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The order given, in scores that no reader of the run can take for equal."""
    scores = falling_scores([score for _, score in hits])
    return [(doc_id, score) for (doc_id, _), score in zip(hits, scores, strict=True)]


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
