"""The fold that `eval` is: data sets and systems in; metrics.json, its picture, TREC runs out.

Every (data set, system) is finished on its own and kept, so a stopped evaluation goes on with what
is missing; within one, the model's scores are in the ledger.
"""

import importlib.metadata
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from prism_cli.domain.metrics import default_measures, without_itself
from prism_cli.engine.answering import Answerer
from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Job
from prism_cli.engine.live import remove_live
from prism_cli.engine.papers import Papers
from prism_cli.engine.progress import Progress, shown_progress
from prism_cli.engine.shard import Counts
from prism_cli.errors import PrismError
from prism_cli.evaluation.ranking.paper import paper_part
from prism_cli.evaluation.ranking.picture import bar_chart
from prism_cli.evaluation.ranking.plan import (
    EvalModel,
    EvalOptions,
    EvalSet,
    EvalSummary,
    RankingSet,
)
from prism_cli.evaluation.ranking.reranking import (
    WINDOW_PAIRS,
    Ask,
    candidate_texts,
    rerank_candidates,
)
from prism_cli.evaluation.ranking.results import Measured
from prism_cli.evaluation.ranking.runs import Run, RunNote, RunStore, run_fingerprint
from prism_cli.ports import FirstStage, PreparedFirstStage
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.lock import output_lock
from prism_cli.shards.state import state_directory
from prism_cli.shards.writer import whole_file

METRICS = "metrics.json"
PICTURE = "ndcg.svg"
_LIBRARIES = (
    "pytrec-eval-terrier",
    "bm25s",
    "PyStemmer",
    "scipy",
    "numpy",
    "torch",
    "transformers",
    "sentence-transformers",
    "peft",
)


def evaluate(
    sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> EvalSummary:
    """Rank, measure, compare, publish.

    Raises:
        MissingDataError, ModelError, ChangedInputError, LockedError, StorageError, ProviderError.
        InterruptedRunError, LimitReachedError: stopped early; the same command goes on.
    """
    path = options.output / METRICS
    control = Control(options.max_seconds)
    with ExitStack() as stack:
        stack.enter_context(control.listening())
        stack.enter_context(output_lock(path))
        papers = _papers(path, sets, models, options)
        if not options.overwrite and papers.finished() is not None:
            return EvalSummary(orjson.loads(path.read_bytes()), path, True)
        papers.begin(fresh=options.fresh)
        home = state_directory(path)
        answerer = Answerer("eval", lambda: Ledger(home / "ledger.sqlite"), control)
        stack.callback(answerer.close)
        answerer.turn_to(papers.output_id, papers.manifest.fresh_since or 0)
        try:
            content = _Evaluation(sets, models, options, papers, answerer).run()
        except (PrismError, OSError):
            papers.stopped(answerer.usage())
            raise
        papers.account(Counts(), answerer.usage(), {"average": content.get("average", {})})
        with whole_file(path.with_name(PICTURE)) as file:
            file.write(bar_chart(content))
        with whole_file(path) as file:
            file.write(
                orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            )
        papers.finish(finished=True)
        remove_live(path)
    return EvalSummary(content, path, False)


def _papers(
    path: Path, sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> Papers:
    config = {
        **options.config,
        "limit": options.limit,
        "sets": [one.data.name for one in sets],
        "first_stages": [one.first_stage.fingerprint for one in sets],
        "model_fingerprints": {model.name: model.fingerprint for model in models},
    }
    files = [file for one in sets for file in one.data.files(options.split)]
    papers = Papers(Job([], {"": path}, path), "eval", config, files)
    papers.manifest.versions |= library_versions()
    papers.manifest.batch_plan = {"window_pairs": WINDOW_PAIRS}
    return papers


class _Evaluation:
    def __init__(
        self,
        sets: Sequence[EvalSet],
        models: Sequence[EvalModel],
        options: EvalOptions,
        papers: Papers,
        answerer: Answerer,
    ) -> None:
        self.sets, self.models, self.options = sets, models, options
        self.manifest, self.answerer = papers.manifest, answerer
        self._digests = {record.path: record.sha256 for record in self.manifest.dependencies}
        systems = [one.first_stage.spec for one in sets] + [model.name for model in models]
        self.store = RunStore(options.output / "runs", list(dict.fromkeys(systems)))

    def run(self) -> dict[str, Any]:
        """The content of metrics.json. One model is held at a time."""
        options = self.options
        measured = Measured(default_measures(options.top_k), options.seed)
        prepared = [self._prepared(one, measured) for one in self.sets]
        for model in self.models:
            loaded: list[Ask] = []
            for one in prepared:
                fingerprint = run_fingerprint(one.making, model.fingerprint)

                def make(
                    one: _Prepared = one,
                    model: EvalModel = model,
                    fingerprint: str = fingerprint,
                    loaded: list[Ask] = loaded,
                ) -> tuple[Run, RunNote]:
                    if not loaded:
                        loaded.append(model.load())
                    return self._reranked(one, model.name, loaded[0], fingerprint)

                run, note = self._finished(one.data.name, model.name, fingerprint, make)
                measured.add(one.data.name, model.name, one.qrels, one.ids, run, note)
        return measured.content() | {
            **paper_part(self.sets, options),
            "datasets": {one.data.name: one.figures for one in prepared},
            "provenance": {
                "config": self.manifest.config,
                "versions": self.manifest.versions,
                "files": self._digests,
            },
        }

    def _prepared(self, one: EvalSet, measured: Measured) -> "_Prepared":
        """Queries, judgements and candidates; the first stage is measured."""
        options, data = self.options, one.data
        queries = data.judged_queries(options.split, options.limit)
        qrels = data.qrels(options.split)
        missing = data.missing_documents(options.split)
        if missing:
            options.tell(
                f"{data.name}: {len(missing)} judged documents are not in its corpus, such as "
                f"{missing[0]}; they count as never found"
            )
        making = run_fingerprint(
            [self._digests[str(path)] for path in data.files(options.split)],
            [options.split, options.limit, options.top_k, one.first_stage.fingerprint],
            self.manifest.fresh_since,
        )
        ids = [query_id for query_id, _ in queries]
        candidates, note = self._finished(
            data.name,
            one.first_stage.spec,
            making,
            lambda: self._candidates(one, queries, qrels, making),
        )
        measured.add(data.name, one.first_stage.spec, qrels, ids, candidates, note)
        figures = {
            "split": options.split,
            "queries": len(queries),
            "queries_without_candidates": sum(not candidates.get(query_id) for query_id in ids),
            "candidates": sum(map(len, candidates.values())),
            "judged_relevant": sum(
                grade > 0 for query_id in ids for grade in qrels[query_id].values()
            ),
            "judged_missing": len(missing),
            "first_stage": one.first_stage.fingerprint,
        }
        return _Prepared(data, queries, ids, qrels, making, candidates, figures)

    def _finished(
        self, dataset: str, system: str, fingerprint: str, make: Callable[[], tuple[Run, RunNote]]
    ) -> tuple[Run, RunNote]:
        self.answerer.control.check()
        found = self.store.find(dataset, system, fingerprint)
        if found is not None:
            self.options.tell(f"{dataset}: {system} was finished before")
            return found
        run, note = make()
        self.store.save(dataset, system, run, note)
        return run, note

    def _candidates(
        self,
        one: EvalSet,
        queries: Sequence[tuple[str, str]],
        qrels: Mapping[str, Mapping[str, int]],
        fingerprint: str,
    ) -> tuple[Run, RunNote]:
        started = time.monotonic()
        top_k = self.options.top_k
        run: Run = {}
        label = f"{one.data.name}: {one.first_stage.spec}"
        self._prepare(one.first_stage, f"{label}: documents")
        with (
            self._progress(label, len(queries)) as progress,
            self.answerer.control.abandoning(),
        ):
            found = one.first_stage.search(queries, top_k + 1)
            for (query_id, _), hits in zip(queries, found, strict=True):
                self.answerer.control.check()
                run[query_id] = without_itself(query_id, hits, qrels[query_id])[:top_k]
                progress.advance(1, 0.0)
        pairs = sum(map(len, run.values()))
        seconds = round(time.monotonic() - started, 3)
        return run, RunNote(fingerprint, pairs, seconds=seconds)

    def _prepare(self, first_stage: FirstStage, label: str) -> None:
        """Have it done what it keeps; what it writes appears whole or not at all."""
        if isinstance(first_stage, PreparedFirstStage):
            with (
                self._progress(label, first_stage.size()) as progress,
                self.answerer.control.abandoning(),
            ):
                for documents in first_stage.prepare():
                    self.answerer.control.check()
                    progress.advance(documents, 0.0)

    def _reranked(
        self, one: "_Prepared", name: str, ask: Ask, fingerprint: str
    ) -> tuple[Run, RunNote]:
        started = time.monotonic()
        texts = candidate_texts(one.data.texts(), one.candidates, one.data.name)
        pairs = sum(map(len, one.candidates.values()))
        label = f"{one.data.name}: {name}"
        with self._progress(label, pairs) as progress:
            result = rerank_candidates(
                ask, one.queries, one.candidates, texts, self.answerer, progress
            )
        seconds = round(time.monotonic() - started, 3)
        return result.run, RunNote(fingerprint, pairs, result.truncated, result.unscored, seconds)

    def _progress(self, label: str, total: int) -> AbstractContextManager[Progress]:
        papers = self.options.output / METRICS
        return shown_progress(label, total, quiet=self.options.quiet, papers=papers)


@dataclass(frozen=True)
class _Prepared:
    """One data set, ready for models.

    Attributes:
        making: fingerprint of its candidates.
        figures: for metrics.json.
    """

    data: RankingSet
    queries: Sequence[tuple[str, str]]
    ids: Sequence[str]
    qrels: Mapping[str, Mapping[str, int]]
    making: str
    candidates: Run
    figures: dict[str, Any]


def library_versions() -> dict[str, str]:
    """Of those that decide numbers, where they are installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
