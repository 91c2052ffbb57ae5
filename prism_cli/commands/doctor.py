"""`prism doctor`: can the judges of the next run be asked, and if not, why; kernels for a GPU."""

from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    help="Test the key and the answer of each judge; with a GPU, say which kernels are installed.",
    epilog="Example: prism doctor --judge deepseek/deepseek-chat",
)


@app.command()
def doctor(
    judge: Annotated[
        list[str] | None,
        typer.Option(
            help="provider/model; may be repeated. Default: the panel that `prism relabel` asks.",
            show_default=False,
        ),
    ] = None,
    panel: Annotated[
        str | None, typer.Option(help="A panel by name, such as openrouter.", show_default=False)
    ] = None,
    provider_file: Annotated[
        str | None, typer.Option(help="TOML file of providers.", show_default=False)
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Ask each judge whether a document that is known to be relevant is relevant.

    On a machine with a GPU, also say which packages with kernels are installed.
    """
    from prism_cli.commands import gpu_kernels, paid_wiring
    from prism_cli.commands.options import Paid
    from prism_cli.configs.load import load_config
    from prism_cli.configs.relabel import RelabelConfig
    from prism_cli.terminal import print_json

    config = load_config(RelabelConfig, "relabel", recipe=panel, flags={"judges": judge or None})
    providers = paid_wiring.catalog(Paid(provider_file=provider_file), retry=False)
    probes = paid_wiring.probe_panel((*config.judges, *config.add_judges), providers)
    kernels = gpu_kernels.installed_kernels() if gpu_kernels.has_gpu() else None
    if json:
        print_json({"judges": probes} | ({} if kernels is None else {"gpu_kernels": kernels}))
    else:
        _show(probes)
        if kernels is not None:
            _show_kernels(kernels)
    if any(not probe["well"] for probe in probes):
        raise typer.Exit(3)


def _show(probes: list[dict[str, object]]) -> None:
    from prism_cli.commands.tables import print_table

    names = {"judge": "judge", "says": "what it says", "seconds": "seconds", "usd": "USD"}
    rows = [
        {"judge": probe["judge"], "": "well" if probe["well"] else "ill"}
        | {words: probe[name] for name, words in names.items() if name != "judge"}
        for probe in probes
    ]
    if rows:
        print_table("", rows)


def _show_kernels(kernels: dict[str, str | None]) -> None:
    from prism_cli.commands.gpu_kernels import KERNELS
    from prism_cli.commands.tables import print_table

    rows: list[dict[str, object]] = [
        {"GPU kernels": package, "version": found or "not installed", "for": KERNELS[package]}
        for package, found in kernels.items()
    ]
    print_table("", rows)
    if None in kernels.values():
        print("pip install --no-build-isolation 'prism-cli[local,gpu]' installs them")
