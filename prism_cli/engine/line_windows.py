"""Lines of a shard in windows of a fixed size: what a model sees together depends on the input
alone."""

from collections.abc import Callable, Iterable, Iterator

from prism_cli.engine.counts import Counts
from prism_cli.engine.jobs import Line


def line_windows(
    lines: Iterable[Line],
    counts: Counts,
    most_rows: int,
    most_bytes: int,
    starts_group: Callable[[bytes], bool] | None = None,
) -> Iterator[list[Line]]:
    """Yield windows of lines that are not blank. With groups, a window extends to the end of its
    last group.

    Args:
        counts: gets the blank lines.
        most_rows, most_bytes: a window ends with the line that reaches one of them.
        starts_group: returns whether a line begins another group than the line before.
    """
    window: list[Line] = []
    size, full = 0, False
    for line in lines:
        raw = line[2]
        if len(raw) < 64 and not raw.strip():
            counts.blank += 1
            continue
        if starts_group is not None and starts_group(raw) and full:
            yield window
            window, size = [], 0
        window.append(line)
        size += len(raw)
        full = len(window) >= most_rows or size >= most_bytes
        if full and starts_group is None:
            yield window
            window, size = [], 0
    if window:
        yield window
