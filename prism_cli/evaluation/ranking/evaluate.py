"""`prism eval`: ranks, measures and compares; writes metrics.json, report, TREC runs, mteb's JSON.

The ranking of each (data set, system) is cached, so a stopped evaluation continues with the missing
ones; within a ranking, the model's scores are in the ledger.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from prism_cli.domain.fusion import RRF
from prism_cli.domain.metrics import MAIN_MEASURE, default_measures
from prism_cli.domain.unknown_ids import check_listed_ids, unknown_ids_message
from prism_cli.engine.control import Control
from prism_cli.engine.counts import Counts
from prism_cli.engine.heartbeat import remove_heartbeat
from prism_cli.engine.lost_replies import check_paid_replies
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.errors import PrismError, UsageError
from prism_cli.evaluation.metrics_file import (
    METRICS,
    PublishedMetrics,
    provenance,
    publish,
    read_metrics,
)
from prism_cli.evaluation.ranking.cached_runs import CachedRuns
from prism_cli.evaluation.ranking.figures import JudgedSet, RankingFigures
from prism_cli.evaluation.ranking.fusion import (
    fit_queries,
    fit_source,
    fit_weight,
    fused_systems,
    without,
)
from prism_cli.evaluation.ranking.mteb_results import mteb_scores, write_task
from prism_cli.evaluation.ranking.paper import paper_section
from prism_cli.evaluation.ranking.per_query import write_per_query
from prism_cli.evaluation.ranking.plan import (
    EvalModel,
    EvalOptions,
    EvalSet,
    RankingSet,
)
from prism_cli.evaluation.ranking.ranked_set import FitQueries, RankedSet, check_candidates
from prism_cli.evaluation.ranking.record import PICTURE, earlier_record, eval_record
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
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.state import LEDGER_NAME, state_directory
from prism_cli.shards.writer import sweep_folder

REVISION_DIGITS = 40


def evaluate(
    sets: Sequence[EvalSet], models: Sequence[EvalModel], options: EvalOptions
) -> PublishedMetrics:
    """Rank, measure, compare, publish.

    Raises:
        UsageError: a model and a first stage have the same name, or a set has too few queries to
            fit a fusion on; nothing was made.
        MissingDataError, ModelError, ChangedInputError, LockedError, StorageError, ProviderError.
        InterruptedRunError, LimitReachedError: stopped early; the same command continues.
    """
    names = {name for one in models for name in (one.name, *fused_systems(one.name, 0.0))}
    shared = {dataset.first_stage.spec for dataset in sets} & names
    if shared:
        raise UsageError(
            f"{', '.join(sorted(shared))}: name of the first stage and of a model; metrics.json "
            "names systems by them, so rename the run file, or give the model's path"
        )
    if options.fit_fusion:
        for dataset in sets:
            queries = dataset.data.judged_queries(options.split, options.limit)
            judged = JudgedSet(dataset.data, queries, dataset.data.qrels(options.split))
            fit_queries(judged, _fit_source(dataset.data, options), options.seed, options.limit)
    path = options.output / METRICS
    control = Control(options.max_seconds)
    with ExitStack() as stack:
        stack.enter_context(control.handle_signals())
        stack.enter_context(output_lock(path))
        if (
            not options.overwrite
            and earlier_record(path, sets, models, options).finished() is not None
        ):
            return PublishedMetrics(read_metrics(path), path, True)
        record = eval_record(path, sets, models, options)
        home = state_directory(path)
        check_paid_replies(path, home / LEDGER_NAME, accept_lost=options.accept_lost_replies)
        runner = RequestRunner("eval", lambda: Ledger(home / LEDGER_NAME), control)
        stack.callback(runner.close)
        local = local_ledger_path(home, path)

        def fresh_start() -> int:
            clear_local_ledger(local)
            return runner.mark()

        record.begin(fresh_start if options.fresh else None)
        sweep_folder(path.parent)
        open_local = partial(open_local_ledger, local)
        runner.begin_output(record.output_id, open_local, record.manifest.fresh_since)
        try:
            content = _Evaluation(sets, models, options, record, runner).run()
        except (PrismError, OSError):
            record.stopped(runner.usage())
            raise
        record.account(Counts().as_dict(), runner.usage(), record.manifest.figures)
        picture = svg_file(bars_by_set(content))
        publish(path, "ranking", content, page(content), record.publishing, {PICTURE: picture})
        record.finish(finished=not options.missing)
        remove_heartbeat(path)
    return PublishedMetrics(read_metrics(path), path, False)


def _fit_source(data: RankingSet, options: EvalOptions) -> str | float:
    return fit_source(data.splits, options.split, options.fit_on)


class _Evaluation:
    def __init__(
        self,
        sets: Sequence[EvalSet],
        models: Sequence[EvalModel],
        options: EvalOptions,
        record: RunRecord,
        runner: RequestRunner,
    ) -> None:
        self.sets, self.models, self.options = sets, models, options
        self.manifest = record.manifest
        self._digests = {record.path: record.sha256 for record in self.manifest.dependencies}
        systems = [dataset.first_stage.spec for dataset in sets]
        for model in models:
            systems += [model.name, *fused_systems(model.name, 0.0)]
        systems = list(dict.fromkeys(systems))
        self._runs = CachedRuns(options, systems, runner)
        self._fit_runs = CachedRuns(options, systems, runner, "runs/fit")

    def run(self) -> dict[str, Any]:
        """Return the content of metrics.json. One model is loaded at a time."""
        options = self.options
        figures = RankingFigures(default_measures(options.top_k), options.seed)
        prepared = [self._prepare(dataset, figures) for dataset in self.sets]
        fits = [ready.fit for ready in prepared if ready.fit]
        check_candidates(fits)
        fusion: dict[str, Any] = {}
        for model in self.models:
            load = cache(model.load)
            for ready in prepared:
                run, note = ready.ranked.by_model(model, load)
                self._measure(figures, ready.reported, model.name, model.fingerprint, run, note)
                if ready.fit and ready.fit.ranked is not ready.ranked:
                    ready.fit.ranked.by_model(model, load)
            fusion |= self._fuse(model, prepared, fits, figures)
        write_per_query(options.output, MAIN_MEASURE, figures.of(MAIN_MEASURE), figures.ids)
        fingerprints = dict.fromkeys(dataset.first_stage.fingerprint for dataset in self.sets)
        models = {dataset.first_stage.spec: ", ".join(fingerprints) for dataset in self.sets}
        left_out = any(ready.fit and ready.fit.ranked is ready.ranked for ready in prepared)
        return figures.content() | {
            **({} if left_out else paper_section(self.sets, options)),
            **({"fusion": fusion} if fusion else {}),
            "datasets": {ready.reported.data.name: ready.figures for ready in prepared},
            "missing_sets": sorted(options.missing),
            "provenance": provenance(
                options.command,
                self.manifest.config,
                self.manifest.versions,
                self._digests,
                models | {model.name: model.fingerprint for model in self.models},
            ),
        }

    def _fuse(
        self,
        model: EvalModel,
        prepared: Sequence["_Prepared"],
        fits: Sequence[FitQueries],
        figures: RankingFigures,
    ) -> dict[str, Any]:
        """Measure the fused systems of a model; return its part of `fusion` in metrics.json."""
        asked, section = self.options.fuse, dict[str, Any]()
        fusion = (model.fuse if asked is None else asked) or None
        if fits:
            section = fit_weight(
                [fit.ranked.case(fit.queries, model) for fit in fits],
                {fit.queries.data.name: fit.source for fit in fits},
            )
            asked = fusion = section["weight"]
        systems = fused_systems(model.name, fusion, reciprocal_too=asked is not None)
        for system, kind in systems.items():
            for ready in prepared:
                case = ready.ranked.case(ready.reported, model)
                fingerprint = run_fingerprint(model.fingerprint, ready.ranked.fingerprint, kind)
                note = replace(case.note, fingerprint=fingerprint, seconds=0.0)
                ranking = self._runs.save(case.judged.data.name, system, (case.fused(kind), note))
                self._measure(figures, ready.reported, system, fingerprint, *ranking)
        if not systems:
            return {}
        return {model.name: {"weight": None if fusion == RRF else fusion} | section}

    def _measure(
        self,
        figures: RankingFigures,
        judged: JudgedSet,
        system: str,
        fingerprint: str,
        run: Run,
        note: RunNote,
    ) -> None:
        figures.add(judged, system, run, note)
        data, options = judged.data, self.options
        write_task(
            options.output / "mteb",
            dataset=data.name,
            data_revision=run_fingerprint(self._digests_of(data))[:REVISION_DIGITS],
            split=options.split,
            system=system,
            revision=run_fingerprint(fingerprint)[:REVISION_DIGITS],
            scores=mteb_scores(judged.qrels, run, judged.ids, options.top_k),
        )

    def _digests_of(self, data: RankingSet) -> list[str]:
        return [self._digests[str(path)] for path in data.files(self.options.split)]

    def _prepare(self, dataset: EvalSet, figures: RankingFigures) -> "_Prepared":
        """Read queries and judgements, rank the candidates, and measure the first stage."""
        options, data, first_stage = self.options, dataset.data, dataset.first_stage
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
            first_stage,
            data.name,
            data.queries,
            data.texts,
            lambda line: options.tell(f"prism: warning: {line}"),
        )
        fingerprint = run_fingerprint(
            self._digests_of(data),
            [options.split, options.limit, options.top_k, first_stage.fingerprint],
            self.manifest.fresh_since,
        )
        candidates, note = self._runs.of_first_stage(dataset, judged, fingerprint)
        ranked = RankedSet(judged, first_stage.spec, fingerprint, self._runs)
        reported, fit = judged, self._fit_queries(dataset, ranked) if options.fit_fusion else None
        if fit and fit.ranked is ranked:
            reported = without(judged, fit.queries)
        self._measure(
            figures, reported, first_stage.spec, first_stage.fingerprint, candidates, note
        )
        empty = [query_id for query_id in reported.ids if not candidates.get(query_id)]
        if listed and empty:
            what = f"of {len(reported.queries)} queries have no candidates in the run"
            options.tell(unknown_ids_message(data.name, what, empty, "they count 0"))
        if listed and not any(
            doc_id in qrels[query_id]
            for query_id in reported.ids
            for doc_id, _ in candidates.get(query_id, ())
        ):
            options.tell(
                f"prism: warning: {data.name}: none of the run's candidates is judged, so that "
                "every measure is 0; is it a run over another corpus?"
            )
        dataset_figures = {
            "split": options.split,
            "queries": len(reported.queries),
            "queries_without_candidates": len(empty),
            "candidates": sum(len(candidates.get(query_id, ())) for query_id in reported.ids),
            "judged_relevant": sum(
                grade > 0 for query_id in reported.ids for grade in qrels[query_id].values()
            ),
            "judged_missing": len(missing),
            "judged_unknown_queries": len(unknown),
            "first_stage": first_stage.fingerprint,
            **listed,
        }
        if data.origin:
            dataset_figures["fetched_from"] = data.origin
        return _Prepared(ranked, reported, fit, dataset_figures)

    def _fit_queries(self, dataset: EvalSet, ranked: RankedSet) -> FitQueries:
        """Return the queries to fit a fusion on; those of another split are ranked first."""
        options, data = self.options, dataset.data
        source = _fit_source(data, options)
        queries = fit_queries(ranked.judged, source, options.seed, options.limit)
        if isinstance(source, str):
            fingerprint = run_fingerprint(ranked.fingerprint, [source, queries.ids])
            self._fit_runs.of_first_stage(dataset, queries, fingerprint)
            ranked = RankedSet(queries, ranked.first_stage, fingerprint, self._fit_runs)
        return FitQueries(ranked, queries, source)


@dataclass(frozen=True)
class _Prepared:
    """One data set, ready for models; its candidates are cached.

    Attributes:
        reported: its queries without those that a fusion is fitted on.
        figures: of the data set, for metrics.json.
    """

    ranked: RankedSet
    reported: JudgedSet
    fit: FitQueries | None
    figures: dict[str, Any]
