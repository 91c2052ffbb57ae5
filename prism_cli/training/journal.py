"""The log of a run: log.jsonl, a line each `log_steps`, and its charts.

curves.svg shows losses and dev figures; equal runs have equal bytes. speed.svg shows throughput and
memory, which depend on the machine.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

from prism_cli.domain.dev_figures import KNOWS_NOTHING
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.writer import whole_file
from prism_cli.training.meter import TIMED
from prism_cli.wording import label

LOG = "log.jsonl"
CURVES, SPEED = "curves.svg", "speed.svg"
_Panels = tuple[tuple[tuple[str, ...], str], ...]
_CURVES: _Panels = (
    (("loss", "pointwise_loss", "sft_loss"), "training loss"),
    (("margin", "yes_logit", "no_logit"), "training: margin = yes logit - no logit"),
    (("auc", "nDCG@10", "verdict_accuracy"), "dev: auc, nDCG@10, verdict accuracy"),
    (("score_mse",), "dev: squared score error"),
    (("target_loss",), "dev: target loss, nats a token"),
    (("learning_rate",), "learning rate"),
    (("grad_norm",), "gradient norm before clipping"),
)
_SPEED: _Panels = (
    (("tokens_per_second",), "tokens a second"),
    (("peak_memory_bytes",), "peak memory, GiB"),
)


class Journal:
    """Appends to RUN/log.jsonl; lines after the step that a run resumes from are dropped.

    Args:
        report: called with step and figures of each line that was added.
    """

    def __init__(
        self,
        run: Path,
        from_step: int,
        report: Callable[[int, dict[str, Any]], None] = lambda _step, _figures: None,
    ) -> None:
        self._report = report
        self._run = run
        self._path = run / LOG
        self._lines = [line for line in _read(self._path) if line["step"] <= from_step]
        self._write()

    def _write(self) -> None:
        with whole_file(self._path) as file:
            for line in self._lines:
                file.write(_encoded(line))

    def add(self, step: int, figures: dict[str, Any]) -> None:
        """Add a line; a partial line that a full disk leaves is dropped by the resumed run.

        Raises:
            StorageError: it cannot be written.
        """
        line = {"step": step, **figures}
        self._report(step, figures)
        out_of_order = bool(self._lines) and _order(line) < _order(self._lines[-1])
        self._lines.append(line)
        with storage_errors(self._path, "the newest checkpoint is whole"):
            if not out_of_order:
                with self._path.open("ab") as file:
                    file.write(_encoded(line))
                return
            # A measurement that a signal interrupted goes where it would have been.
            self._lines.sort(key=_order)
            self._write()

    def dev_at(self, step: int) -> dict[str, Any] | None:
        """Return the dev figures measured after `step`; None if there are none."""
        lines = [line for line in self._lines if line["step"] == step and "rows" in line]
        return {key: value for key, value in lines[-1].items() if key != "step"} if lines else None

    def measured_after(self, step: int) -> int:
        """Return the number of measurements on the dev rows after later steps."""
        return len({line["step"] for line in self._lines if "rows" in line and line["step"] > step})

    def collapsed_in_a_row(self) -> int:
        """Return the number of consecutive measurements, up to the last, that report a collapse."""
        collapsed = {line["step"]: "collapsed" in line for line in self._lines if "rows" in line}
        steps = sorted(collapsed, reverse=True)
        return next((at for at, step in enumerate(steps) if not collapsed[step]), len(steps))

    def draw(self) -> None:
        """Write curves.svg and speed.svg with the panels that have figures."""
        self._draw(CURVES, _CURVES)
        self._draw(SPEED, _SPEED)

    def _draw(self, file_name: str, all_panels: _Panels) -> None:
        import matplotlib

        matplotlib.use("svg")
        matplotlib.rcParams["svg.hashsalt"] = "prism"
        from matplotlib import pyplot
        from matplotlib.ticker import MaxNLocator

        lines = [line | line.get(TIMED, {}) for line in self._lines]
        panels = [
            (names, title)
            for names, title in all_panels
            if any(name in line for line in lines for name in names)
        ]
        if not panels:
            return
        baseline: dict[str, float] = next(
            (line["baseline"] for line in reversed(lines) if "baseline" in line), {}
        )
        rows = -(-len(panels) // 2)
        height = 2.6 * rows
        figure, axes = pyplot.subplots(rows, 2, figsize=(11, height), squeeze=False)
        # Constant margins: fitting them to the labels doubles the time of a drawing.
        figure.subplots_adjust(0.07, 0.5 / height, 0.99, 1 - 0.3 / height, 0.15, 0.42)
        for axis, (names, title) in zip(axes.flat, panels, strict=False):
            single_values = []
            for name in names:
                scale = 2**-30 if name == "peak_memory_bytes" else 1
                points = [(line["step"], line[name] * scale) for line in lines if name in line]
                if len(points) == 1:  # text says more than a single dot
                    ((step, value),) = points
                    text = f"{label(name)}, measured once: {value:.4g} (step {step:,})"
                    single_values.append(text)
                elif points:
                    text = label(name)
                    (curve,) = axis.plot(*zip(*points, strict=True), label=text, marker=".")
                    if name in baseline:
                        text = f"{text}: {KNOWS_NOTHING[name]}"
                        colour = curve.get_color()
                        axis.axhline(baseline[name], color=colour, linestyle=":", label=text)
            text = "\n".join(single_values)
            axis.text(0.02, 0.95, text, transform=axis.transAxes, va="top", fontsize=8)
            axis.set_title(title, loc="left", fontsize=10)
            axis.set_xlabel("step", fontsize=8)
            axis.tick_params(labelsize=8)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            if not {"tokens_per_second", "peak_memory_bytes"}.isdisjoint(names):
                axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
            if not axis.lines:
                axis.set_axis_off()
            elif len(axis.lines) > 1:
                axis.legend(fontsize=8, frameon=False)
        for axis in axes.flat[len(panels) :]:
            axis.remove()
        svg = BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        with whole_file(self._run / file_name) as file:
            file.write(svg.getvalue())
        pyplot.close(figure)


def _order(line: dict[str, Any]) -> tuple[int, bool]:
    """Sort key: a measurement comes before the losses of its step."""
    return line["step"], "rows" not in line


def _encoded(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = []
    for raw in path.read_bytes().splitlines():
        try:
            lines.append(orjson.loads(raw))
        except orjson.JSONDecodeError:
            break  # a partial line, left by a kill
    return lines
