"""The fold that `eval` is: sets and systems in; metrics.json, report, TREC runs, mteb's JSON out.

Every (data set, system) is finished on its own and kept, so a stopped evaluation goes on with what
is missing; within one, the model's scores are in the ledger.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from prism_cli.domain.metrics import PRIMARY, default_measures
from prism_cli.domain.unknown_ids import check_listed_ids, unknown_ids_message
from prism_cli.engine.control import Control
from prism_cli.engine.counts import Counts
from prism_cli.engine.heartbeat import remove_heartbeat
from prism_cli.engine.job_record import job_record
from prism_cli.engine.jobs import Job
from prism_cli.engine.lost_replies import check_paid_replies
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.errors import PrismError, UsageError
from prism_cli.evaluation.metrics_file import (
    METRICS,
    REPORT,
    library_versions,
    provenance,
    publish,
    read_metrics,
)
from prism_cli.evaluation.ranking.cached_runs import CachedRuns
from prism_cli.evaluation.ranking.figures import JudgedSet, RankingFigures
from prism_cli.evaluation.ranking.mteb_results import mteb_scores, write_task
from prism_cli.evaluation.ranking.paper import paper_section
from prism_cli.evaluation.ranking.per_query import write_per_query
from prism_cli.evaluation.ranking.plan import (
    EvalModel,
    EvalOptions,
    EvalSet,
    EvalSummary,
    RankingSet,
)
from prism_cli.evaluation.ranking.reranking import WINDOW_PAIRS
from prism_cli.evaluation.ranking.runs import Run, RunNote, run_fingerprint
from prism_cli.reporting.charts import svg_file
from prism_cli.reporting.ranking import bars_by_set, page
from prism_cli.shards.ledger import Ledger
from prism_cli.shards.local_ledger import (
    clear_local_ledger,
    local_ledger_path,
    open_local_ledger,
)
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import manifest_path, read_manifest
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import LEDGER_NAME, state_directory
from prism_cli.shards.writer import sweep_folder

PICTURE = "ndcg.svg"
REVISION_DIGITS = 40
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
        UsageError: a model and the first stage share a name.
        MissingDataError, ModelError, ChangedInputError, LockedError, StorageError, ProviderError.
        InterruptedRunError, LimitReachedError: stopped early; the same command goes on.
    """
    double = {one.first_stage.spec for one in sets} & {model.name for model in models}
    if double:
        raise UsageError(
            f"{', '.join(sorted(double))}: name of the first stage and of a model; metrics.json "
            "names systems by them, so rename the run file, or give the model's path"
        )
    path = options.output / METRICS
    control = Control(options.max_seconds)
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        stack.enter_context(output_lock(path))
        if not options.overwrite and _before(path, sets, models, options).finished() is not None:
            return EvalSummary(read_metrics(path), path, True)
        papers = _papers(path, sets, models, options)
        home = state_directory(path)
        check_paid_replies(path, home / LEDGER_NAME, accept_lost=options.accept_lost_replies)
        answerer = RequestRunner("eval", lambda: Ledger(home / LEDGER_NAME), control)
        stack.callback(answerer.close)
        local = local_ledger_path(home, path)

        def fresh_start() -> int:
            clear_local_ledger(local)
            return answerer.mark()

        papers.begin(fresh_start if options.fresh else None)
        sweep_folder(path.parent)
        open_local = partial(open_local_ledger, local)
        answerer.begin_output(papers.output_id, open_local, papers.manifest.fresh_since)
        try:
            content = _Evaluation(sets, models, options, papers, answerer).run()
        except (PrismError, OSError):
            papers.stopped(answerer.usage())
            raise
        papers.account(Counts().as_dict(), answerer.usage(), papers.manifest.figures)
        picture = svg_file(bars_by_set(content))
        publish(path, "ranking", content, page(content), papers.publishing, {PICTURE: picture})
        papers.finish(finished=not options.missing)
        remove_heartbeat(path)
    return EvalSummary(read_metrics(path), path, False)


def _before(
    path: Path, sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> RunRecord:
    """The papers as an earlier attempt wrote them, when some of the sets were not there yet."""
    previous = read_manifest(manifest_path(path))
    if previous and previous["figures"].get("missing_sets"):
        sets = [one for one in sets if one.data.name in previous["config"].get("sets", ())]
    return _papers(path, sets, models, options)


def _papers(
    path: Path, sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> RunRecord:
    config = {
        **options.config,
        "limit": options.limit,
        "sets": [one.data.name for one in sets],
        "first_stages": [one.first_stage.fingerprint for one in sets],
        "model_fingerprints": {model.name: model.fingerprint for model in models},
    }
    files = [file for one in sets for file in one.data.files(options.split)]
    also = [path.with_name(REPORT), path.with_name(PICTURE)]
    papers = job_record(Job([], {"": path}, path), "eval", config, files, also)
    papers.manifest.versions = library_versions(_LIBRARIES)
    papers.manifest.figures = {"missing_sets": sorted(options.missing)}
    if origins := {one.data.name: one.data.origin for one in sets if one.data.origin}:
        papers.manifest.figures["fetched_from"] = origins
    papers.manifest.batch_plan = {"window_pairs": WINDOW_PAIRS}
    return papers


class _Evaluation:
    def __init__(
        self,
        sets: Sequence[EvalSet],
        models: Sequence[EvalModel],
        options: EvalOptions,
        papers: RunRecord,
        answerer: RequestRunner,
    ) -> None:
        self.sets, self.models, self.options = sets, models, options
        self.manifest = papers.manifest
        self._digests = {record.path: record.sha256 for record in self.manifest.dependencies}
        systems = [one.first_stage.spec for one in sets] + [model.name for model in models]
        self._rankings = CachedRuns(options, list(dict.fromkeys(systems)), answerer)

    def run(self) -> dict[str, Any]:
        """The content of metrics.json. One model is held at a time."""
        options = self.options
        measured = RankingFigures(default_measures(options.top_k), options.seed)
        prepared = [self._prepared(one, measured) for one in self.sets]
        for model in self.models:
            load = cache(model.load)
            for one in prepared:
                fingerprint = run_fingerprint(one.making, model.fingerprint)
                run, note = self._rankings.of_model(
                    one.judged, model.name, load, fingerprint, (one.first_stage, one.making)
                )
                self._measure(measured, one.judged, model.name, model.fingerprint, run, note)
        write_per_query(options.output, PRIMARY, measured.of(PRIMARY), measured.ids)
        made_by = list(dict.fromkeys(one.first_stage.fingerprint for one in self.sets))
        models = {one.first_stage.spec: ", ".join(made_by) for one in self.sets}
        return measured.content() | {
            **paper_section(self.sets, options),
            "datasets": {one.judged.data.name: one.figures for one in prepared},
            "missing_sets": sorted(options.missing),
            "provenance": provenance(
                options.command,
                self.manifest.config,
                self.manifest.versions,
                self._digests,
                models | {model.name: model.fingerprint for model in self.models},
            ),
        }

    def _measure(
        self,
        measured: RankingFigures,
        one: JudgedSet,
        system: str,
        made_by: str,
        run: Run,
        note: RunNote,
    ) -> None:
        measured.add(one, system, run, note)
        data, options = one.data, self.options
        write_task(
            options.output / "mteb",
            dataset=data.name,
            data_revision=run_fingerprint(self._digests_of(data))[:REVISION_DIGITS],
            split=options.split,
            system=system,
            revision=run_fingerprint(made_by)[:REVISION_DIGITS],
            scores=mteb_scores(one.qrels, run, one.ids, options.top_k),
        )

    def _digests_of(self, data: RankingSet) -> list[str]:
        return [self._digests[str(path)] for path in data.files(self.options.split)]

    def _prepared(self, one: EvalSet, measured: RankingFigures) -> "_Prepared":
        """Queries, judgements and candidates; the first stage is measured."""
        options, data = self.options, one.data
        queries = data.judged_queries(options.split, options.limit)
        qrels = data.qrels(options.split)
        judged = JudgedSet(data, queries, qrels)
        unknown = data.unknown_queries(options.split)
        if unknown:
            what = "judged queries are not among its queries"
            options.tell(unknown_ids_message(data.name, what, unknown, "they are not measured"))
        missing = data.missing_documents(options.split)
        if missing:
            what = "judged documents are not in its corpus"
            options.tell(unknown_ids_message(data.name, what, missing, "they count as never found"))
        listed = check_listed_ids(
            one.first_stage,
            data.name,
            data.queries,
            data.texts,
            lambda line: options.tell(f"prism: warning: {line}"),
        )
        making = run_fingerprint(
            self._digests_of(data),
            [options.split, options.limit, options.top_k, one.first_stage.fingerprint],
            self.manifest.fresh_since,
        )
        candidates, note = self._rankings.of_first_stage(one, judged, making)
        made_by = one.first_stage.fingerprint
        self._measure(measured, judged, one.first_stage.spec, made_by, candidates, note)
        empty = [query_id for query_id in judged.ids if not candidates.get(query_id)]
        if listed and empty:
            what = f"of {len(queries)} queries have no candidates in the run"
            options.tell(unknown_ids_message(data.name, what, empty, "they count 0"))
        if listed and not any(
            doc_id in qrels[one] for one in judged.ids for doc_id, _ in candidates.get(one, ())
        ):
            options.tell(
                f"prism: warning: {data.name}: none of the run's candidates is judged, so that "
                "every measure is 0; is it a run over another corpus?"
            )
        figures = {
            "split": options.split,
            "queries": len(queries),
            "queries_without_candidates": len(empty),
            "candidates": sum(map(len, candidates.values())),
            "judged_relevant": sum(
                grade > 0 for query_id in judged.ids for grade in qrels[query_id].values()
            ),
            "judged_missing": len(missing),
            "judged_unknown_queries": len(unknown),
            "first_stage": made_by,
            **listed,
        }
        if data.origin:
            figures["fetched_from"] = data.origin
        return _Prepared(judged, one.first_stage.spec, making, figures)


@dataclass(frozen=True)
class _Prepared:
    """One data set, ready for models; its candidates lie on the disk.

    Attributes:
        making: fingerprint of its candidates.
        figures: for metrics.json.
    """

    judged: JudgedSet
    first_stage: str
    making: str
    figures: dict[str, Any]
