"""Cached rankings: a first stage's candidates, and a model's order of them."""

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
    """The rankings of one evaluation; a cached ranking is not computed again.

    Args:
        systems: names of all first stages, models and fused systems.
        runner: sends requests to the models.
        folder: in the evaluation's folder.
    """

    def __init__(
        self,
        options: EvalOptions,
        systems: Sequence[str],
        runner: RequestRunner,
        folder: str = "runs",
    ) -> None:
        self._options, self._runner = options, runner
        self._store = RunStore(options.output / folder, systems)

    def of_first_stage(self, dataset: EvalSet, judged: JudgedSet, fingerprint: str) -> Ranking:
        """Return the candidates of each query, best first."""
        return self._cached(
            judged,
            dataset.first_stage.spec,
            fingerprint,
            lambda: self._candidates(dataset, judged, fingerprint),
        )

    def find(self, dataset: str, system: str, fingerprint: str) -> Ranking:
        """Return a ranking that was made before.

        Raises:
            StorageError: its file is gone.
        """
        cached = self._store.find(dataset, system, fingerprint)
        if cached is None:
            path = self._store.path(dataset, system)
            raise StorageError(f"{path}: was written, and is gone")
        return cached

    def save(self, dataset: str, system: str, ranking: Ranking) -> Ranking:
        """Publish a ranking, and return it with scores that differ in single precision too."""
        run = {query_id: _with_distinct_scores(hits) for query_id, hits in ranking[0].items()}
        self._store.save(dataset, system, run, ranking[1])
        return run, ranking[1]

    def of_model(
        self,
        judged: JudgedSet,
        model: str,
        load: Callable[[], MakeRequest],
        fingerprint: str,
        candidates: tuple[str, str],
    ) -> Ranking:
        """Return the candidates in the model's order.

        Args:
            load: loads the model; called only if the ranking is not cached.
            candidates: name and fingerprint of the first stage's ranking.
        """
        return self._cached(
            judged,
            model,
            fingerprint,
            lambda: self._reranked(judged, model, load(), fingerprint, candidates),
        )

    def _cached(
        self, judged: JudgedSet, system: str, fingerprint: str, make: Callable[[], Ranking]
    ) -> Ranking:
        self._runner.control.check()
        dataset = judged.data.name
        cached = self._store.find(dataset, system, fingerprint)
        if cached is not None:
            self._options.tell(f"{dataset}: {system} was finished before")
            return cached
        return self.save(dataset, system, make())

    def _candidates(self, dataset: EvalSet, judged: JudgedSet, fingerprint: str) -> Ranking:
        started = time.monotonic()
        queries, top_k = judged.queries, self._options.top_k
        run: Run = {}
        label = f"{dataset.data.name}: {dataset.first_stage.spec}"
        self._prepare(dataset.first_stage, f"{label}: documents")
        with (
            self._progress(label, len(queries)) as progress,
            self._runner.control.interruptible(),
        ):
            results = dataset.first_stage.search(queries, top_k + 1)
            for (query_id, _), hits in zip(queries, results, strict=True):
                self._runner.control.check()
                run[query_id] = without_itself(query_id, hits, judged.qrels[query_id])[:top_k]
                progress.advance(1, 0.0)
        return run, RunNote(fingerprint, seconds=_since(started))

    def _prepare(self, first_stage: FirstStage, label: str) -> None:
        """Let the first stage prepare its index; the index appears complete or not at all."""
        if isinstance(first_stage, PreparedFirstStage):
            with (
                self._progress(label, first_stage.size()) as progress,
                self._runner.control.interruptible(),
            ):
                for documents in first_stage.prepare():
                    self._runner.control.check()
                    progress.advance(documents, 0.0)

    def _reranked(
        self,
        judged: JudgedSet,
        model: str,
        make_request: MakeRequest,
        fingerprint: str,
        candidates: tuple[str, str],
    ) -> Ranking:
        started = time.monotonic()
        name = judged.data.name
        run, _ = self.find(name, *candidates)
        texts = candidate_texts(judged.data.passages(), run)
        pairs = sum(map(len, run.values()))
        with self._progress(f"{name}: {model}", pairs) as progress:
            result = rerank_candidates(
                make_request, judged.queries, run, texts, self._runner, progress
            )
        long = list(result.long.values())
        note = RunNote(
            fingerprint,
            sum(one["truncated"] for one in long),
            sum(result.unscored.values()),
            _since(started),
            sum(one["long_documents"] for one in long),
            sum(one["windows"] for one in long),
            result.unscored,
            result.long,
        )
        return result.run, note

    def _progress(self, label: str, total: int) -> AbstractContextManager[Progress]:
        record_path = self._options.output / METRICS
        return show_progress(label, total, quiet=self._options.quiet, record_path=record_path)


def _with_distinct_scores(hits: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return `hits` in their order, with scores that differ in single precision too."""
    scores = falling_scores([score for _, score in hits])
    return [(doc_id, score) for (doc_id, _), score in zip(hits, scores, strict=True)]


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
