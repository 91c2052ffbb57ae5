"""Output of `--dry-run`."""

from typing import TYPE_CHECKING

from prism_cli.wording import counted, label

if TYPE_CHECKING:
    from prism_cli.engine.forecast import Forecast


def print_forecast(forecast: "Forecast", *, json: bool) -> None:
    """Print a forecast: a table on standard error, or a JSON object on standard output."""
    from prism_cli.commands.tables import plain_console, show_table
    from prism_cli.engine.forecast import ENOUGH_REPLIES, SECONDS_A_CALL
    from prism_cli.terminal import print_json

    figures = forecast.to_json()
    console = plain_console(stderr=True)
    if len(forecast.single_calls) == len(forecast.models) > 0:
        console.print("warning: --batch has no effect: no model of this run takes batch files")
    elif forecast.single_calls:
        specs = ", ".join(forecast.single_calls)
        console.print(f"warning: --batch has no effect on {specs}: its provider takes no batches")
    if json:
        print_json(figures)
        return
    console.print(
        f"{forecast.stage}: {counted(forecast.rows, 'row')} to work, "
        f"{forecast.sampled:,} looked at; "
        "nothing was asked"
    )
    if not forecast.models:
        console.print("no model would be asked")
        return
    names = [name for name in figures["models"][0] if name != "questions"]
    rows = [
        {label(name): "no price" if model[name] is None else model[name] for name in names}
        for model in figures["models"]
    ]
    show_table(console, rows, ruled=console.is_terminal)
    console.print(
        f"together about {figures['usd']:.4f} USD{_unpriced(forecast)} and "
        f"{figures['hours']:.2f} hours, at "
        f"{SECONDS_A_CALL:g} s a call. Tokens are estimated, answers at their longest; where the "
        f"ledger has {ENOUGH_REPLIES} replies of a model, their mean counts."
    )
    if forecast.note:
        console.print(forecast.note)


def _unpriced(forecast: "Forecast") -> str:
    """Return the requests that the total leaves out: those to models without a price."""
    left_out = [model for model in forecast.models if model.usd is None and round(model.calls)]
    return "".join(
        f", plus {counted(round(model.calls), 'request')} to {model.model}, price unknown,"
        for model in left_out
    )
