"""`prism export`: a model as a folder that other tools load."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from prism_cli.wording import counted

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism export runs/tiny -o tiny-reranker",
)


@app.command()
def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run directory (its best/, else last/), RUN/last, or any model: hub id, PATH, "
            "hf:smollm2.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The folder; default RUN/export for a run directory.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help="Type of the weights: auto (each tensor as the base stores it), float32, "
            "bfloat16 or float16. Adapters are merged in float32 and rounded once."
        ),
    ] = "auto",
    quantize: Annotated[
        str | None,
        typer.Option(
            help="int8: linear layers in 8 bits, by torchao (extra quantize), which whoever loads "
            "the folder needs too. The card reports how far the scores move.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Prompt: prism, prism-no-think or qwen3-reranker; default by the model.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    strict_model: Annotated[
        bool,
        typer.Option(
            "--strict-model",
            help="Exit 3 and publish nothing where the model seems to have collapsed, or does not "
            "score a known relevant pair clearly above an irrelevant one; else that is a warning, "
            "here and in the card.",
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="The summary as one JSON object on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")] = (
        False
    ),
) -> None:
    """Write a folder that sentence-transformers, transformers and vLLM load, with a model card.

    The folder is published only if its scores, read back, are the model's. Needs four bytes of
    memory for each parameter.
    """
    from prism_cli.commands.wiring import check_model
    from prism_cli.errors import UsageError
    from prism_cli.exporting.quantizing import METHODS
    from prism_cli.exporting.request import ExportRequest
    from prism_cli.exporting.run import export as export_model
    from prism_cli.terminal import print_json

    if quantize is not None and quantize not in METHODS:
        raise UsageError(f"--quantize {quantize}: expected one of {', '.join(METHODS)}")

    check_model("exported", model)

    def say(text: str) -> None:
        if not quiet:
            print(f"prism export: {text}", file=sys.stderr)

    done = export_model(
        ExportRequest(model, output, say, dtype, quantize, profile, overwrite, strict_model)
    )
    if not quiet:
        _print_summary(done)
    if json:
        print_json(done)
    elif not quiet:
        print("\n".join(done["vllm"].values()))


def _print_summary(done: dict[str, Any]) -> None:
    config, check = done["config"], done["check"]
    rho = check["rank_correlation"]
    kind = (
        f"{config['quantize']}, the rest {config['dtype']}"
        if config["quantize"]
        else config["dtype"]
    )
    lines = [
        f"{done['output']}: {done['architecture']}, {done['parameters']:,} parameters ({kind}), "
        f"profile {config['profile']}",
        f"against the model, over {counted(check['pairs'], 'pair')}: largest difference of a logit "
        f"{check['largest']:.3g}, median {check['median']:.3g}"
        + ("" if rho is None else f", rank correlation {rho:.4f}"),
        "to serve it with vLLM (untested), scores and texts:",
    ]
    print("\n".join(lines), file=sys.stderr)
