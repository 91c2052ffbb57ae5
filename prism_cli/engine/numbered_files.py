"""Output files of a set of shards, each opened when its first row comes."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from prism_cli.engine.jobs import Job
from prism_cli.engine.output_files import OutputFiles
from prism_cli.engine.sinks import Sinks
from prism_cli.engine.stage import RowStage
from prism_cli.errors import ChangedInputError
from prism_cli.shards.shard_set import ShardSet
from prism_cli.shards.writer import PartFile, remove_file

Ship = Callable[[Path, Path, str], None]
"""Called with the path of an output, its part file and its SHA-256."""


class NumberedFiles(OutputFiles):
    """Files of a `ShardSet`; published together. Those of an earlier set are replaced or removed.

    Args:
        job: its outputs are the files of an earlier set, and the first of this one.
        attempt, stack: as for `OutputFiles`.
        ship: uploads a file that is whole, and leaves it without content; None for local files.
    """

    def __init__(
        self,
        shard_set: ShardSet,
        job: Job,
        attempt: str,
        stack: ExitStack,
        ship: Ship | None = None,
    ) -> None:
        super().__init__(replace(job, outputs={}), attempt, stack)
        self._ship = ship
        self._earlier = job.outputs or {}
        self._first = shard_set.file(0)
        self._folder = job.record_path.parent
        self._attempt = attempt
        self._stack = stack

    def sinks(self) -> Sinks:
        """Return the functions that write results; that of a new name opens a file and closes the
        one before."""
        return replace(super().sinks(), routed=_OnDemand(self._open))

    def finish(self) -> None:
        """Sync the last part to disk; a set without rows has one empty file."""
        if not self._main:
            self._open(self._first)
        self._finish_last()
        super().finish()

    def publish(self) -> list[Path]:
        """Rename all parts to their final names, then remove further files of the earlier set.

        Raises:
            ChangedInputError: another program created one of the files meanwhile.
            LockedError: another run has taken over the output.
        """
        for name in self._main:
            self._check_free(name)
        sides = super().publish()
        for name in self._earlier.keys() - self._main.keys():
            remove_file(self._earlier[name])
        return sides

    def _open(self, name: str) -> Callable[[bytes], None]:
        self._finish_last()
        self._check_free(name)
        self._outputs[name] = self._folder / name
        part = self._main[name] = PartFile(self._outputs[name], attempt=self._attempt)
        self._stack.callback(part.discard)
        return part.write

    def _finish_last(self) -> None:
        for part in list(self._main.values())[-1:]:
            part.finish()
            if self._ship and part.record:
                self._ship(part.path, part.part, part.record.sha256)

    def _check_free(self, name: str) -> None:
        path = self._folder / name
        if name not in self._earlier and path.exists():
            raise ChangedInputError(
                f"{path}: appeared while this run worked; it was left as it is, and nothing was "
                "published. Move it away, or name another folder with -o"
            )


def output_files(
    stage: RowStage, job: Job, attempt: str, stack: ExitStack, ship: Ship | None = None
) -> OutputFiles:
    """Return the output files of a job; arguments as for `NumberedFiles`."""
    if stage.shard_set is None:
        return OutputFiles(job, attempt, stack)
    return NumberedFiles(stage.shard_set, job, attempt, stack, ship)


class _OnDemand(dict[str, Callable[[bytes], None]]):
    def __init__(self, opening: Callable[[str], Callable[[bytes], None]]) -> None:
        self._opening = opening

    def __missing__(self, name: str) -> Callable[[bytes], None]:
        self.clear()
        self[name] = self._opening(name)
        return self[name]
