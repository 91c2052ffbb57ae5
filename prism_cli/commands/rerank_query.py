"""`prism rerank --query`: documents ranked for one question, printed for people or as JSON."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prism_cli.commands.options import Common
from prism_cli.wording import most_similar

if TYPE_CHECKING:
    from prism_cli.configs.rerank import RerankConfig
    from prism_cli.domain.evidence_budget import RankOptions
    from prism_cli.engine.summary import RunSummary
    from prism_cli.errors import UsageError
    from prism_cli.reranker import Reranker
    from prism_cli.rows.best_documents import BestDocuments

SHOWN = 10
"""Documents of the ranking without --top-n."""
_COUNTS = ("documents", "yes", "truncated")


def rerank_query(
    query: str,
    inputs: list[str],
    model: "Reranker",
    options: "RankOptions",
    config: "RerankConfig",
    common: Common,
    figures: Mapping[str, object],
    *,
    pretty: bool = False,
) -> None:
    """Rank the documents of all inputs and print the best.

    Without -o nothing is kept but the ledger, and evidence is written for the printed documents
    alone.

    Raises:
        UsageError: several files would get an output each.
    """
    from prism_cli.commands.ranking_text import print_ranking
    from prism_cli.commands.row_run import exit_with, work_rows
    from prism_cli.engine.counts import UsageTotals
    from prism_cli.engine.jobs import plan_jobs
    from prism_cli.engine.progress_display import announce_load
    from prism_cli.engine.report import print_summary
    from prism_cli.errors import UsageError
    from prism_cli.shards.formats.documents import EMPTY
    from prism_cli.stages.rerank_query import OTHER_QUESTION, RerankQueryStage
    from prism_cli.terminal import print_json

    shown = options.top_n or SHOWN
    writes = common.output is not None and str(common.output) != "-"
    if writes and len(plan_jobs("rerank", (), inputs, common.output)) > 1:
        raise UsageError(
            f"-o {common.output}: a folder, with a file for each input; --query ranks all "
            "documents together. Nothing was written. Name one file, such as -o ranking.jsonl"
        )
    if not writes:
        options = replace(options, top_n=shown)
        common = replace(common, output=Path("-"))
    stage = RerankQueryStage(
        model,
        options,
        query,
        shown,
        writes=writes,
        figures=figures,
        before_load=partial(announce_load, model.spec, quiet=common.quiet),
    )
    summary = work_rows(stage, inputs, common, config, extra_config={"query": query})
    assert summary is not None  # rerank has no --dry-run
    if stage.others and not stage.held:
        raise no_such_question(query, stage.others)
    counts = _counts(summary, stage.best)
    if not common.quiet and (writes or common.verbose):
        print_summary(summary, verbose=common.verbose)
    elif not common.quiet and summary.counts.rejected:
        hints = {name: one for name, one in summary.figures.items() if name == "hint"}
        print_summary(replace(summary, figures=hints, usage=UsageTotals()))
    elif not common.quiet:
        if hint := summary.figures.get("hint"):
            print(f"prism: {hint}", file=sys.stderr)
        dropped = summary.counts.dropped
        left_out = [f"{dropped[one]:,} ({one})" for one in (OTHER_QUESTION, EMPTY) if dropped[one]]
        if left_out:
            print(f"prism: left out: {', '.join(left_out)}", file=sys.stderr)
    ranked = stage.best.ranked()
    if common.json:
        header = {"query": query, "model": model.spec, **counts}
        print_json({**header, "results": [one.to_json() for one in ranked]})
    elif ranked:
        print_ranking(query, ranked, counts, model.spec, cited=pretty)
    else:
        print("prism: no document to rank", file=sys.stderr)
    exit_with(summary)


def check_question(query: str, inputs: Iterable[str], fields: Mapping[str, str]) -> None:
    """Look in the files, before the model is loaded, for a row that the question is asked of.

    Standard input is passed by.

    Raises:
        UsageError: there are rows, and all have other questions.
    """
    from prism_cli.errors import RowError
    from prism_cli.rows.decode import decode_row
    from prism_cli.shards.reader import STDIN, find_shards
    from prism_cli.stages.rerank_query import MOST_OTHERS, other_question

    others: dict[str, None] = {}
    for shard in find_shards([one for one in inputs if one != STDIN]):
        for _, raw in shard.numbered(fields=fields):
            try:
                other = other_question(decode_row(raw, fields), query)
            except RowError:
                continue
            if not other:
                return
            if len(others) < MOST_OTHERS:
                others[other] = None
    if others and STDIN not in inputs:
        raise no_such_question(query, others)


def no_such_question(query: str, others: Iterable[str]) -> "UsageError":
    """Return the error that all rows have other questions, with the most similar one."""
    from prism_cli.errors import UsageError

    known = list(others)
    near = most_similar(query, known, 0.5)
    like = f"; did you mean {near[:200]!r}?" if near else f", but such as {known[0][:200]!r}."
    return UsageError(
        f"--query {query[:200]!r}: no row holds this question{like} Rows that have a query are "
        "ranked for that query alone; rows without one are ranked for any question"
    )


def _counts(summary: "RunSummary", best: "BestDocuments") -> dict[str, int]:
    """Documents in all, those judged yes and those that were cut; what earlier runs finished is
    read back."""
    from prism_cli.shards.manifest import manifest_path, read_manifest
    from prism_cli.shards.reader import read_rows

    counts = Counter({name: int(summary.figures.get(name, 0)) for name in _COUNTS})
    place = counts["documents"]
    for out in summary.finished_before:
        manifest = read_manifest(manifest_path(Path(out))) or {"figures": {}}
        counts.update({name: manifest["figures"].get(name, 0) for name in _COUNTS})
        for _, row in read_rows([out]):
            best.add(row, place)
            place += len(row["documents"]) if "documents" in row else 1
    return {name: counts[name] for name in _COUNTS}
