"""The fold that `eval` is: data sets and systems in, one metrics.json and a TREC run each out.

Every (data set, system) is finished on its own and kept, so a stopped evaluation goes on with what
is missing; within one, the model's scores are in the ledger.
"""

import importlib.metadata
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from prism_cli.domain.metrics import default_measures, without_itself
from prism_cli.engine.answering import Answerer
from prism_cli.engine.control import Control
from prism_cli.engine.jobs import Job
from prism_cli.engine.papers import Papers
from prism_cli.engine.progress import shown_progress
from prism_cli.engine.shard import Counts
from prism_cli.errors import PrismError
from prism_cli.evaluation.plan import EvalModel, EvalOptions, EvalSet, EvalSummary
from prism_cli.evaluation.reranking import WINDOW_PAIRS, Ask, candidate_texts, rerank_candidates
from prism_cli.evaluation.results import Measured
from prism_cli.evaluation.runs import Run, RunNote, RunStore, run_fingerprint
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.lock import output_lock
from prism_cli.shards.state import state_directory
from prism_cli.shards.writer import whole_file

_LIBRARIES = (
    "pytrec-eval-terrier",
    "bm25s",
    "PyStemmer",
    "scipy",
    "numpy",
    "torch",
    "transformers",
)


def evaluate(
    sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> EvalSummary:
    """Rank, measure, compare, publish.

    Raises:
        MissingDataError, ModelError, ChangedInputError, LockedError, StorageError, ProviderError.
        InterruptedRunError, LimitReachedError: stopped early; the same command goes on.
    """
    path = options.output / "metrics.json"
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
        with whole_file(path) as file:
            file.write(
                orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            )
        papers.finish(finished=True)
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
        self._asks: dict[str, Ask] = {}

    def run(self) -> dict[str, Any]:
        """The content of metrics.json."""
        options = self.options
        measured = Measured(default_measures(options.top_k), options.seed)
        datasets: dict[str, Any] = {}
        for one in self.sets:
            datasets[one.data.name] = self._dataset(one, measured)
        return measured.content() | {
            "datasets": datasets,
            "provenance": {
                "config": self.manifest.config,
                "versions": self.manifest.versions,
                "files": self._digests,
            },
        }

    def _dataset(self, one: EvalSet, measured: Measured) -> dict[str, Any]:
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
        first = one.first_stage.spec
        candidates, note = self._finished(
            data.name, first, making, lambda: self._candidates(one, queries, qrels, making)
        )
        measured.add(data.name, first, qrels, ids, candidates, note)
        for model in self.models:
            fingerprint = run_fingerprint(making, model.fingerprint)
            run, note = self._finished(
                data.name,
                model.name,
                fingerprint,
                lambda model=model, fingerprint=fingerprint: self._reranked(  # type: ignore[misc]
                    one, model, queries, candidates, fingerprint
                ),
            )
            measured.add(data.name, model.name, qrels, ids, run, note)
        return {
            "split": options.split,
            "queries": len(queries),
            "queries_without_candidates": sum(not candidates.get(query_id) for query_id in ids),
            "candidates": sum(map(len, candidates.values())),
            "judged_relevant": sum(grade > 0 for one in ids for grade in qrels[one].values()),
            "judged_missing": len(missing),
            "first_stage": one.first_stage.fingerprint,
        }

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
        with shown_progress(label, len(queries), quiet=self.options.quiet) as progress:
            found = one.first_stage.search(queries, top_k + 1)
            for (query_id, _), hits in zip(queries, found, strict=True):
                self.answerer.control.check()
                run[query_id] = without_itself(query_id, hits, qrels[query_id])[:top_k]
                progress.advance(1, 0.0)
        pairs = sum(map(len, run.values()))
        seconds = round(time.monotonic() - started, 3)
        return run, RunNote(fingerprint, pairs, seconds=seconds)

    def _reranked(
        self,
        one: EvalSet,
        model: EvalModel,
        queries: Sequence[tuple[str, str]],
        candidates: Run,
        fingerprint: str,
    ) -> tuple[Run, RunNote]:
        if model.name not in self._asks:
            self._asks[model.name] = model.load()
        started = time.monotonic()
        texts = candidate_texts(one.data.texts(), candidates, one.data.name)
        pairs = sum(map(len, candidates.values()))
        label = f"{one.data.name}: {model.name}"
        with shown_progress(label, pairs, quiet=self.options.quiet) as progress:
            result = rerank_candidates(
                self._asks[model.name], queries, candidates, texts, self.answerer, progress
            )
        seconds = round(time.monotonic() - started, 3)
        return result.run, RunNote(fingerprint, pairs, result.truncated, result.unscored, seconds)


def library_versions() -> dict[str, str]:
    """Of those that decide numbers, where they are installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
