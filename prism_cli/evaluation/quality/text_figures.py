"""Measures of a pair's texts that need nothing but the row, and processes that compute them ahead.

They take nearly all the time of `prism eval quality`: milliseconds for each yes.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from prism_cli.domain.evidence_measures import lead, text_measures
from prism_cli.domain.languages import language_difference
from prism_cli.errors import RowError
from prism_cli.evaluation.quality.row_measures import GENERATED
from prism_cli.rows.decode import decode_row
from prism_cli.rows.results import pairs_of
from prism_cli.rows.verdict_texts import VerdictTexts, check_verdict_texts, read_verdict_texts

EVIDENCE, LEAD = "evidence", "lead"
MOST_PROCESSES = 16
"""Processes by default; each holds word lists of about 350 MB."""
_CHUNK_ROWS = 32
Figures = Mapping[str, dict[str, Any]]
"""EVIDENCE, LEAD or GENERATED -> measures of that text."""
Line = tuple[str, int, bytes]


def text_figures(texts: VerdictTexts, baselines: Sequence[str]) -> Figures:
    """Return the measures of the texts of a yes; {} for other pairs.

    Args:
        baselines: those that replace the evidence.
    """
    if texts.verdict != "yes" or not texts.asked:
        return {}
    document, figures = texts.document, dict[str, dict[str, Any]]()
    if texts.evidence:
        figures[EVIDENCE] = text_measures(texts.evidence, document) | {
            "language_difference": language_difference(texts.evidence, document)
        }
    if LEAD in baselines:
        figures[LEAD] = text_measures(lead(texts.body, len(texts.evidence)), document)
    if texts.grounding and texts.grounding.generated:
        figures[GENERATED] = text_measures(texts.grounding.generated, document)
    return figures


def line_figures(
    lines: Sequence[Line], fields: Mapping[str, str], source: str, baselines: Sequence[str]
) -> list[list[Figures] | None]:
    """Return `text_figures` of the pairs of each line; None for one that is no row."""
    found: list[list[Figures] | None] = []
    for *_, raw in lines:
        try:
            row = decode_row(raw, fields)
            check_verdict_texts(row, source)
        except RowError:
            found.append(None)
            continue
        pairs = [read_verdict_texts(pair, source) for pair in pairs_of(row)]
        found.append([text_figures(texts, baselines) for texts in pairs])
    return found


class FigurePool:
    """Processes that run `line_figures` for lines before the stage works on them.

    Lines that are not there, or whose process was killed, are left to the caller.
    """

    def __init__(self, processes: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._processes = min(cores, MOST_PROCESSES) if processes is None else processes
        self._executor: ProcessPoolExecutor | None = None
        self._waiting: deque[tuple[Sequence[Line], Future[Any]]] = deque()
        self._ready: dict[tuple[str, int], list[Figures]] = {}
        self._first = True

    def add(
        self,
        lines: Sequence[Line],
        fields: Mapping[str, str],
        source: str,
        baselines: Sequence[str],
    ) -> None:
        """Begin with further lines. The first ones are left to the caller: few rows are not worth
        the start of processes."""
        if self._first or self._processes < 2:
            self._first = False
            return
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._processes, context, _prepare)
        try:
            for start in range(0, len(lines), _CHUNK_ROWS):
                chunk = lines[start : start + _CHUNK_ROWS]
                future = self._executor.submit(line_figures, chunk, dict(fields), source, baselines)
                self._waiting.append((chunk, future))
        except BrokenProcessPool:
            self.close()

    def take(self, place: tuple[str, int]) -> list[Figures] | None:
        """Return the figures of the pairs of the line at a place; None if they are not there.

        Lines are taken in the order in which they were added; some may be left out.
        """
        while place not in self._ready and self._waiting:
            lines, future = self._waiting.popleft()
            try:
                figures = future.result()
            except BrokenProcessPool:
                self.close()
                break
            self._ready = {
                (name, number): one
                for (name, number, _), one in zip(lines, figures, strict=True)
                if one is not None
            }
        return self._ready.pop(place, None)

    def close(self) -> None:
        """End the processes; from now on all lines are left to the caller."""
        self._waiting.clear()
        self._processes = 1
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None


def _prepare() -> None:
    """Leave Ctrl-C to the command, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if parent := multiprocessing.parent_process():

        def end() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=end, daemon=True).start()
