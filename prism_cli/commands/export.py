"""`prism export`: a model as a folder that other tools load."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prism_cli.files.names import typed_path, working_folder
from prism_cli.wording import counted

if TYPE_CHECKING:
    from prism_cli.exporting.request import ExportRequest

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
            parser=typed_path,
            metavar="PATH",
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
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/NAME",
            help="Upload the folder to this repository of the model hub, in one commit; a new one "
            "is private. Of a folder that is exported already, MODEL may be that folder.",
            show_default=False,
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make the new repository public; update a public one.")
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
    from prism_cli.exporting.request import ExportRequest
    from prism_cli.terminal import print_json

    def say(text: str) -> None:
        if not quiet:
            print(f"prism export: {text}", file=sys.stderr)

    request = ExportRequest(model, output, say, dtype, quantize, profile, overwrite, strict_model)
    here = output is not None and output == working_folder()
    done = _export(request, push_to_hub, public=public)
    if here and not done["finished_before"]:
        say("the working folder was replaced by the export; enter it again: cd .")
    if not quiet:
        _print_summary(done)
    if json:
        print_json(done)
    elif not quiet:
        print("\n".join(done["vllm"].values()))


def _export(request: "ExportRequest", push_to_hub: str | None, *, public: bool) -> dict[str, Any]:
    """Export, and push if that is asked for, after the checks that need no model."""
    from prism_cli.commands.wiring import check_model
    from prism_cli.errors import UsageError
    from prism_cli.exporting.quantizing import METHODS

    if request.quantize is not None and request.quantize not in METHODS:
        raise UsageError(f"--quantize {request.quantize}: expected one of {', '.join(METHODS)}")
    if public and push_to_hub is None:
        raise UsageError("--public: goes with --push-to-hub ORG/NAME")
    if push_to_hub is not None:
        return _pushed(request, push_to_hub, public=public)
    check_model("exported", request.spec)

    from prism_cli.exporting.run import export as export_model

    return export_model(request)


def _pushed(request: "ExportRequest", push_to_hub: str, *, public: bool) -> dict[str, Any]:
    from prism_cli.exporting.folder_record import exported_before
    from prism_cli.exporting.hub import check_access, hub_repo, push

    repo = hub_repo(push_to_hub, public=public)
    done = exported_before(request)
    check_access(repo)
    if done is None:
        done = _export(request, None, public=False)
    retry = ["prism", "export", done["output"], "--push-to-hub", repo.id]
    request.say(f"uploading {done['output']} to {repo.url}")
    hub = push(Path(done["output"]), repo, shlex.join(retry + ["--public"] * public))
    return done | {"hub": hub}


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
    ]
    if hub := done.get("hub"):
        what = f"{counted(hub['files'], 'file')}, {hub['bytes'] / 1e6:,.1f} MB"
        lines.append(
            f"{hub['url']} ({'private' if hub['private'] else 'public'}): "
            + (f"{what}, in commit {hub['commit']}" if hub["changed"] else "has this content")
            + f"; prism rerank --model {hub['repo']} loads it"
        )
    lines.append("to serve it with vLLM (untested), scores and texts:")
    print("\n".join(lines), file=sys.stderr)
