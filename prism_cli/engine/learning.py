"""The pass over those rows of a shard that decide how all its rows are processed."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from prism_cli.engine.consistent_ids import row_reader
from prism_cli.engine.inflight import InFlightRows, Pending
from prism_cli.engine.jobs import Line
from prism_cli.engine.request_runner import RequestRunner
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import Reply, RowWork

MISSING_SHARE = 0.05
"""Share of these rows that may lack a reply: otherwise no other row is asked about."""


@dataclass(frozen=True, slots=True)
class Learning:
    """The result of the pass.

    Attributes:
        replies: number of replies, which the main pass looks up again.
        waits: result of all rows where too many of these rows lack a reply.
    """

    replies: int = 0
    waits: Pending | None = None


def learn(
    stage: RowStage,
    lines: Iterable[Line],
    runner: RequestRunner,
    fields: Mapping[str, str],
    shown: Callable[[InFlightRows], AbstractContextManager[None]],
    missing_share: float = MISSING_SHARE,
) -> Learning:
    """Have the stage learn from the rows of a shard that it chooses.

    Args:
        lines: all lines of the shard.
        shown: context entered while the rows ask, to show their progress.

    Raises:
        PrismError: as for the main pass.
    """
    if not stage.learns_first:
        return Learning()

    read = row_reader(stage, fields)

    def is_chosen(line: Line) -> bool:
        try:
            row = read(line[2])
        except RowError:
            return False  # the main pass rejects it
        return stage.learns(row)

    def start(line: Line) -> RowWork:
        stage.location = line[:2]
        return stage.learn(stage.decode(line[2], fields))

    chosen = [line for line in lines if line[2].strip() and is_chosen(line)]
    window = InFlightRows(chosen, start, runner)
    with shown(window):
        window.start(0, len(chosen))
        window.ask()
    missing = sum(isinstance(result, Pending) for _, result in window.take())
    stage.finish_learning()
    if missing <= missing_share * len(chosen):
        return Learning(sum(isinstance(reply, Reply) for reply in window.replies.values()))
    reason = f"waits for {missing} of {len(chosen)} audit rows, which tell when to stop"
    return Learning(waits=Pending(reason))
