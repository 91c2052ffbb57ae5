"""What `--dry-run` prints."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prism_cli.engine.forecast import Forecast


def tell_forecast(found: "Forecast", *, json: bool) -> None:
    """A table on standard error, or one JSON object on standard output."""
    from rich.table import Table

    from prism_cli.commands.row_run import print_json
    from prism_cli.commands.tables import plain_console
    from prism_cli.engine.forecast import ENOUGH_REPLIES, SECONDS_A_CALL

    told = found.to_json()
    if json:
        print_json(told)
        return
    console = plain_console(stderr=True)
    if not console.is_terminal:
        console.width = 120
    console.print(
        f"{found.stage}: {found.rows:,} rows to work, {found.sampled:,} of them looked at; "
        "nothing was asked"
    )
    if not found.models:
        console.print("no model would be asked")
        return
    names = [name for name in told["models"][0] if name != "questions"]
    table = Table()
    for name in names:
        first = name == "model"
        table.add_column(name, justify="left" if first else "right", overflow="fold")
    for one in told["models"]:
        table.add_row(*(_cell(one[name]) for name in names))
    console.print(table)
    console.print(
        f"together about {told['usd']:.4f} USD and {told['hours']:.2f} hours, at "
        f"{SECONDS_A_CALL:g} s a call. Tokens are estimated, answers at their longest; where the "
        f"ledger has {ENOUGH_REPLIES} replies of a model, their mean counts."
    )
    if told["unpriced"]:
        console.print(f"without a price in the provider files: {', '.join(told['unpriced'])}")


def _cell(value: object) -> str:
    if value is None:
        return "no price"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
