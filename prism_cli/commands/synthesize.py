"""`prism collect synthesize`: queries from instructions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prism_cli.commands.options import Inputs, Paid
from prism_cli.commands.settings import with_settings
from prism_cli.configs.synthesize import SynthesizeConfig

if TYPE_CHECKING:
    from prism_cli.rows.row import Row
    from prism_cli.shards.reader import Shard

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism collect synthesize instructions.jsonl -o queries.jsonl "
    "--generator deepseek/deepseek-chat --per-instruction 20 --against beir/scifact",
)


@app.command()
@with_settings(SynthesizeConfig, "synthesize")
def synthesize(inputs: Inputs, *, config: SynthesizeConfig, common: Paid) -> None:
    """Queries from rows of {"instruction": …}, and optionally "language"; one row per query.

    They are what `prism collect web` takes. Near-duplicates are left out of the whole output.
    """
    from prism_cli.commands import paid_wiring
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.domain.synthesis import SynthesisTask
    from prism_cli.errors import UsageError
    from prism_cli.shards.reader import find_shards, local_paths
    from prism_cli.stages.synthesize import SynthesizeStage

    if common.reuse:
        raise UsageError(
            "--reuse: queries are not taken from files; replies in the ledger are not asked again, "
            "and --against FILE leaves out what a file has"
        )
    there = find_shards([_rows_of(shard) for shard in config.against])
    backend = paid_wiring.chat_model(
        config.generator, SynthesisTask(), paid_wiring.catalog(common), device=config.device
    )
    stage = SynthesizeStage(
        backend,
        per_instruction=config.per_instruction,
        styles=tuple(dict.fromkeys(config.styles)),
        against=lambda: _queries(there),
        seed=config.seed,
    )
    run_row_stage(
        stage,
        inputs,
        common,
        config,
        dependencies=local_paths(there),
        extra_config={"generator_hash": backend.fingerprint},
    )


def _rows_of(folder: str) -> str:
    """Of a BEIR folder its queries."""
    from prism_cli.files.compressed import plain_or_compressed

    return str(plain_or_compressed(Path(folder) / "queries.jsonl") or folder)


def _queries(shards: "Sequence[Shard]") -> Iterator[str]:
    """Yield the queries of rows, and their originals before rewriting.

    Raises:
        MissingDataError: a line without one: what was meant to be left out might come.
    """
    from prism_cli.errors import MissingDataError
    from prism_cli.rows.row import Rejected
    from prism_cli.shards.reader import read_shards

    def refuse(bad: Rejected) -> None:
        raise MissingDataError(
            f"--against {bad.ref}: {bad.field or 'row'}: {bad.reason}; nothing was asked. Give "
            'rows with a query, or a BEIR folder\'s {"_id", "text"}'
        )

    for _, row in read_shards(shards, check=_check_query, on_reject=refuse):
        yield row["query"]
        if before := row.get("original_query"):
            yield before


def _check_query(row: "Row") -> None:
    from prism_cli.rows.row import string_field

    if "_id" in row and "query" not in row:
        row["query"] = row.get("text")
    string_field(row, "query", blank=False)
    string_field(row, "original_query", required=False)
