"""Which inputs make which outputs, and what the files are called."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prism_cli.errors import UnfitNameError, UsageError
from prism_cli.files.names import is_folder, shown_name
from prism_cli.shards.creation import new_attempt
from prism_cli.shards.folder import SIDE_FILES, line_suffix
from prism_cli.shards.formats import format_of, stem_of
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path, read_manifest
from prism_cli.shards.measured import Measured
from prism_cli.shards.reader import (
    STDIN,
    Shard,
    Source,
    find_shards,
)
from prism_cli.shards.state import state_directory
from prism_cli.shards.writer import part_path

Input = Shard | Source
Line = tuple[str, int, bytes]
"""File as the user named it, line number from 1, bytes."""
_TABLES = ("csv", "parquet")
"""Formats that are read and not written."""
_NAME_BYTES = 255
"""The longest name of a file that the usual file systems take."""
STDOUT = Path("-")
_STDIN_SHARD = "stdin.jsonl"


@dataclass(frozen=True)
class Job:
    """Inputs that become one output, or one set of named outputs.

    Attributes:
        outputs: path by name, "" for the only one; None for standard output.
        record_path: the path whose name manifest, rejects and lock carry.
    """

    inputs: Sequence[Input]
    outputs: dict[str, Path] | None
    record_path: Path

    def check_names(self) -> None:
        """Raise UnfitNameError where an input's name can stand in no manifest, or the output's is
        so long that those of the files beside it would be too long."""
        for one in self.inputs:
            if isinstance(one, Shard):
                one.check_name()
        for path in (self.outputs or {}).values():
            _check_length(path, self.record_path)

    @property
    def manifest_path(self) -> Path:
        """OUT.manifest.json."""
        return manifest_path(self.record_path)

    @property
    def home(self) -> Path | None:
        """The output beside which the ledger may lie."""
        return next(iter(self.outputs.values())) if self.outputs else None

    @property
    def name(self) -> str:
        """What messages call it: its output."""
        return str(self.home or self.record_path)

    @property
    def label(self) -> str:
        """What the progress calls it."""
        return Path(self.inputs[0].name).name

    def numbered(self, number: int) -> "Job":
        """The same with another record, for one more run to standard output."""
        return replace(
            self, record_path=self.record_path.with_stem(f"{self.record_path.stem}.{number}")
        )


def plan_jobs(
    stage: str,
    named: Sequence[str],
    inputs: Sequence[str | Source],
    output: Path | None,
    *,
    plain: bool = False,
) -> list[Job]:
    """The jobs of a command.

    One input: the output is `output`, else NAME.STAGE.jsonl beside the input. A directory: as
    many shards in `output`, else in NAME.STAGE beside it. Several inputs: merged where `output`
    has a row file's suffix, else one shard each in the directory `output`, else each beside
    itself. An `output` typed with a slash at its end is a directory, also where it is not there.
    Named outputs: NAME.jsonl (NAME where it has a suffix) each in the directory `output`, from all
    inputs together. A folder of documents is one input.

    Args:
        plain: as for `find_shards`.

    Raises:
        MissingDataError: an input that is not there.
        UsageError: the output cannot be told, is one of the inputs, or is that of two inputs.
    """
    found: list[Input] = []
    for one in inputs:
        found += find_shards([one], plain=plain) if isinstance(one, str) else [one]
    given = inputs[0]
    folder = Path(given) if len(inputs) == 1 and isinstance(given, str) else None
    if folder and (not folder.is_dir() or _is_folder(found[0])):
        folder = None
    if output == STDOUT or (output is None and any(one.name == STDIN for one in found)):
        if named:
            raise UsageError(f"{stage} writes several files; name their directory with -o")
        return [Job(found, None, state_directory(None) / f"stdout.{stage}.jsonl")]
    if output is None and folder:
        output = folder.resolve().with_name(f"{folder.resolve().name}.{stage}")
    there = output is not None and is_folder(output)
    output = Path(output) if output else None
    if output and not there and format_of(output) in _TABLES:
        raise UsageError(
            f"{output}: outputs are JSON lines (or a TREC file), not {output.suffix[1:]}; name a "
            "file that ends in .jsonl"
        )
    if named:
        home = output or _beside(found[0], stage, folder=True)
        outputs = {name: home / (name if "." in name else f"{name}.jsonl") for name in named}
        return _checked([Job(found, outputs, home / f"{stage}.jsonl")])
    if output is None:
        return _checked(_each_beside(found, stage))
    if not (there or folder or len(found) > 1) or (line_suffix(output) and not there):
        return _checked([Job(found, {"": output}, output)])
    if not there and output.suffix and format_of(output) != "lines":
        raise UsageError(
            f"{output}: outputs of several inputs go into a directory, or together into a file "
            f"that ends in .jsonl; {output.suffix} is neither. Nothing was done"
        )
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"{output}: is a file; several shards need a directory, or a new name")
    return _checked([_single(one, output / _shard_name(one)) for one in found])


def _single(one: Input, output: Path) -> Job:
    return Job([one], {"": output}, output)


def _shard_name(one: Input) -> str:
    if one.name == STDIN:
        return _STDIN_SHARD
    if isinstance(one, Shard) and one.format != "lines":
        return f"{stem_of(Path(shown_name(one.path.resolve())))}.jsonl"
    return Path(one.name).name


def _is_folder(one: Input) -> bool:
    return isinstance(one, Shard) and one.path.is_dir()


def _each_beside(found: Sequence[Input], stage: str) -> list[Job]:
    """One job each; what an earlier run of the same pattern put beside its inputs is no input."""
    outputs = [_beside(one, stage) for one in found]
    made = {path.resolve() for path in outputs}
    return [
        _single(one, output)
        for one, output in zip(found, outputs, strict=True)
        if not (isinstance(one, Shard) and one.path.resolve() in made)
    ]


def _checked(jobs: list[Job]) -> list[Job]:
    sources = {one.path.resolve() for job in jobs for one in job.inputs if isinstance(one, Shard)}
    taken: dict[Path, str] = {}
    for job in jobs:
        outputs = (job.outputs or {}).values()
        beside = [job.record_path.with_name(job.record_path.name + suffix) for suffix in SIDE_FILES]
        for path in (*outputs, job.manifest_path, *beside):
            if path.resolve() in sources:
                raise UsageError(
                    f"{path}: is an input of this command, and would be replaced by it; name "
                    "another output with -o"
                )
        for path in outputs:
            if os.path.exists(path) and not path.is_file():
                raise UsageError(
                    f"{path}: not a regular file; name a file with -o, or - for standard output"
                )
            if path.resolve() in taken:
                raise UsageError(
                    f"{path}: {taken[path.resolve()]} and {job.inputs[0].name} would both be "
                    "written there; name one file with -o to merge them"
                )
            taken[path.resolve()] = job.inputs[0].name
    return jobs


def _check_length(output: Path, record_path: Path) -> None:
    beside = [record_path.name + suffix for suffix in (*SIDE_FILES, MANIFEST_SUFFIX)]
    longest = max(len(os.fsencode(part_path(Path(name), new_attempt()))) for name in beside)
    size = len(os.fsencode(output.name))
    if max(longest, size) > _NAME_BYTES:
        raise UnfitNameError(
            f"{output}: a name of {size} bytes, and those of the files beside it (manifest, "
            f"rejects) are up to {longest - size} longer, where a file system takes {_NAME_BYTES}; "
            "name a shorter output with -o"
        )


def _beside(one: Input, stage: str, *, folder: bool = False) -> Path:
    if not isinstance(one, Shard):
        raise UsageError(f"{one.name}: name the output with -o")
    path = one.path.resolve() if one.path.is_dir() else Path(shown_name(one.path))
    suffix = line_suffix(path)
    stem = path.name.removesuffix(suffix) if suffix else stem_of(path)
    if folder:
        return path.with_name(f"{stem}.{stage}")
    return path.with_name(f"{stem}.{stage}{suffix or '.jsonl'}")


def outputs_without_input(
    stage: str, jobs: Sequence[Job], inputs: Sequence[str | Source]
) -> list[tuple[str, str]]:
    """Outputs of the stage beside those of `jobs` whose inputs are there no more: each with the
    name of its input. Looked for where a run works a whole folder, or several files."""
    shards = len(jobs) > 1 or any(
        isinstance(one, str) and not Path(one).is_file() for one in inputs
    )
    found: list[tuple[str, str]] = []
    made = {path for job in jobs for path in (job.outputs or {}).values()}
    for folder in sorted({path.parent for path in made}) if shards else ():
        for manifest in sorted(folder.glob(f"*{MANIFEST_SUFFIX}")):
            output = manifest.with_name(manifest.name.removesuffix(MANIFEST_SUFFIX))
            if output in made or not output.is_file() or (said := read_manifest(manifest)) is None:
                continue
            gone = [one["path"] for one in said["inputs"] if not Path(one["path"]).exists()]
            if said["stage"] == stage and gone and len(gone) == len(said["inputs"]):
                found.append((str(output), gone[0]))
    return found


def jobs_of_process(jobs: Sequence[Job], part: tuple[int, int]) -> Sequence[Job]:
    """Those that this process works, of all that work the same command.

    Args:
        part: (this process, of how many), from 0.

    Raises:
        UsageError: more processes than outputs.
    """
    rank, size = part
    if size > len(jobs):
        raise UsageError(
            f"{size} processes and {len(jobs)} output{'s' * (len(jobs) != 1)}: each process works "
            f"outputs of its own. Name a directory of at least {size} shards, or start one process"
        )
    return jobs[rank::size]


def read_lines(
    inputs: Sequence[Input],
    measured: Mapping[str, Measured],
    limit: int | None,
    fields: Mapping[str, str],
) -> Iterator[Line]:
    """The lines of `inputs`, at most `limit` that are not blank; `fields` as for `decode_row`."""
    left = limit if limit is not None else sys.maxsize
    for one in inputs:
        name = one.name
        if isinstance(one, Shard):
            lines = one.numbered(measured.get(name), fields)
        else:
            lines = enumerate(one.lines(), 1)
        for number, raw in lines:
            if left <= 0:
                return
            if limit is None or raw.strip():
                left -= 1
            yield name, number, raw
