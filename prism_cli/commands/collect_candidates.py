"""`prism collect` without judgements: a corpus and questions to pairs that a first stage finds."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prism_cli.commands.beir_folders import beir_file, lacks_judgements
from prism_cli.commands.field_names import check_inputs
from prism_cli.reporting.sanitize import escape_invisible

if TYPE_CHECKING:
    from prism_cli.commands.options import Paid
    from prism_cli.configs.collect import CollectConfig
    from prism_cli.shards.reader import Shard

CANDIDATES = 20
_OF_JUDGEMENTS = ("split", "negatives", "from_rank", "to_rank", "random_negatives", "qrels")


def collect_candidates(
    corpus: str,
    queries: str | None,
    common: "Paid",
    config: "CollectConfig",
    flags: Mapping[str, object],
) -> None:
    """Make unlabelled pair rows.

    Args:
        corpus, queries: as typed; a BEIR folder as corpus has its own queries.
        flags: options as typed, by name of setting.

    Raises:
        UsageError: no questions, or an option that needs judgements.
    """
    from prism_cli.commands import wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.errors import UsageError
    from prism_cli.shards.reader import local_paths
    from prism_cli.stages.candidates import DOCUMENT_FIELDS, CandidateQueries, Corpus
    from prism_cli.stages.collect import CollectStage

    if wrong := [name for name in _OF_JUDGEMENTS if flags.get(name) is not None]:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(f"{options}: goes with judgements; candidates have none. Leave it out")
    queries = queries or beir_file(corpus, "queries")
    if queries is None:
        raise UsageError(f"--corpus {corpus}: name the questions with --queries")
    name = Path(corpus).resolve().name.partition(".")[0]
    if not common.quiet and lacks_judgements(corpus):
        print(
            f"prism: {corpus}: no judgements (qrels/*.tsv), so rows get no labels: the first "
            "stage's candidates for each question",
            file=sys.stderr,
        )
    fields = common.field_names
    documents, questions = _shards(corpus, "corpus"), _shards(queries, "queries")
    of_documents = {name: fields[name] for name in DOCUMENT_FIELDS if name in fields}
    of_questions = {name: fields[name] for name in fields if name not in DOCUMENT_FIELDS}
    check_inputs(documents, of_documents, documents=True)
    with_header = [shard for shard in questions if shard.format != "tsv"]
    check_inputs(with_header, of_questions, documents=True)
    texts = Corpus(documents, of_documents)
    first_stage = wiring.first_stage(
        config.first_stage, texts.texts, name, common.output, bm25_memory_gb=config.bm25_memory_gb
    )
    count = config.candidates or CANDIDATES
    source = CandidateQueries(
        texts, questions, fields, first_stage, count, config.source or name, _warn
    )
    run_row_stage(
        CollectStage(wiring.shape_reader("cohere"), config.source),
        [source],
        replace(common, fields=[]),  # the source has renamed them
        config,
        dependencies=local_paths([*documents, *questions]),
    )


def _warn(line: str) -> None:
    print(escape_invisible(f"prism: warning: {line}"), file=sys.stderr, flush=True)


def _shards(folder: str, part: str) -> "list[Shard]":
    from prism_cli.shards.reader import find_shards

    return find_shards([beir_file(folder, part) or folder])
