"""`prism sample`: a score-balanced, length-capped subset of scored rows."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prism_cli.commands.options import Common, Inputs
from prism_cli.commands.settings import with_settings
from prism_cli.configs.sample import SampleConfig

if TYPE_CHECKING:
    from prism_cli.engine.report import FigureLines
    from prism_cli.engine.summary import RunSummary

app = typer.Typer(
    add_completion=False,
    help="Keep a score-balanced, length-capped subset.",
    epilog="Example: prism sample scored.jsonl -o sampled.jsonl --size 2000 "
    "--max-document-words 300. To label what teaches most: "
    "prism sample reranked.jsonl -o next.jsonl --by disagreement --size 2000",
)


@app.command()
@with_settings(SampleConfig, "sample")
def sample(inputs: Inputs, *, config: SampleConfig, common: Common) -> None:
    """Keep a score-balanced subset, chosen by hash of (seed, query_id, doc_id).

    Or, by disagreement, the rows on which judge, teacher and student differ most; rows need two of
    the three. Otherwise rows without teacher_score are dropped and counted, as pairs that are too
    long are. Rows keep their order. Scores before and after are drawn here, and in
    OUT.histogram.svg where matplotlib is installed.
    """
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.commands.wiring import token_cutter
    from prism_cli.domain.length_caps import LengthCaps
    from prism_cli.stages.sample import SampleStage

    cutter, dependencies = token_cutter(config.tokenizer)
    stage = SampleStage(
        config.size,
        bins=config.bins,
        lengths=LengthCaps(
            cutter, config.max_document_tokens, config.max_pair_tokens, config.max_document_words
        ),
        web_sources=config.web_sources,
        seed=config.seed,
        by_disagreement=config.by == "disagreement",
    )
    run_row_stage(
        stage,
        inputs,
        common,
        config,
        dependencies=dependencies,
        extra_lines=lambda summary: _draw(summary, common.output),
    )


def _draw(summary: "RunSummary", output: Path | None) -> "FigureLines":
    """Return the lines of the histogram; write its picture beside the output."""
    from importlib.util import find_spec

    from prism_cli.commands.histogram import svg, terminal_lines
    from prism_cli.files.urls import is_url
    from prism_cli.shards.writer import whole_file

    lines = terminal_lines(summary.figures, sys.stderr.encoding)
    # Of several outputs beside the folder that holds them.
    name = output if output and len(summary.outputs) > 1 else "".join(summary.outputs[:1])
    if name and not is_url(str(name)):
        picture = Path(f"{name}.histogram.svg")
        if find_spec("matplotlib"):
            with whole_file(picture) as file:
                file.write(svg(summary.figures))
            lines.append(f"drawn in {picture}")
        else:
            lines.append("no picture: matplotlib is not installed (pip install 'prism-cli[local]')")
    return {"histogram": lines, "histograms": ()}
