"""Jobs of a command: the inputs of each output, and the names of the files."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prism_cli.errors import InvalidNameError, UsageError
from prism_cli.files.names import (
    RealPaths,
    beir_corpus,
    is_folder,
    is_pattern,
    shown_name,
    without_slash,
)
from prism_cli.files.urls import StagedPath, is_url, local_name, staged_path
from prism_cli.shards.file_creation import new_attempt
from prism_cli.shards.file_digest import FileDigest
from prism_cli.shards.folder import SIDE_FILES, line_suffix
from prism_cli.shards.formats import format_of, is_misread, stem_of
from prism_cli.shards.formats.parquet_rows import check_parquet_writer
from prism_cli.shards.manifest import MANIFEST_SUFFIX, manifest_path
from prism_cli.shards.reader import (
    STDIN,
    Shard,
    Source,
    find_shards,
)
from prism_cli.shards.shard_set import set_manifest
from prism_cli.shards.state import state_directory
from prism_cli.shards.writer import part_path

Input = Shard | Source
Line = tuple[str, int, bytes]
"""(file as the user named it, line number from 1, bytes)"""
_NAME_BYTES = 255
"""Longest file name that common file systems accept."""
_LONGEST_SIDE = max(
    len(part_path(Path(f"x{suffix}"), new_attempt()).name) - 1
    for suffix in (*SIDE_FILES, MANIFEST_SUFFIX)
)
"""Bytes by which the longest name beside an output is longer than its own."""
STDOUT = Path("-")
_STDIN_SHARD = "stdin.jsonl"


@dataclass(frozen=True)
class Job:
    """Inputs that become one output, or one set of named outputs.

    Attributes:
        outputs: path by name, "" for the only one; None for standard output.
        record_path: path from which the names of manifest, rejects and lock are made.
        number, of: position among the jobs of the command, from 1.
    """

    inputs: Sequence[Input]
    outputs: dict[str, Path] | None
    record_path: Path
    number: int = 1
    of: int = 1

    def check_names(self) -> None:
        """Raise InvalidNameError if an input's name cannot be stored in a manifest, or the output's
        is too long for the files beside it."""
        for source in self.inputs:
            if isinstance(source, Shard):
                source.check_name()
        for path in (self.outputs or {}).values():
            _check_length(path, self.record_path)

    @property
    def manifest_path(self) -> Path:
        """OUT.manifest.json."""
        return manifest_path(self.record_path)

    @property
    def home(self) -> Path | None:
        """The output beside which the ledger may be."""
        return next(iter(self.outputs.values())) if self.outputs else None

    @property
    def name(self) -> str:
        """Name in messages: the output."""
        return str(self.home or self.record_path)

    @property
    def label(self) -> str:
        """Name in the progress: the first input's file name."""
        return Path(self.inputs[0].name).name

    def with_record(self, number: int) -> "Job":
        """Return the same job with another record, for a concurrent run to standard output."""
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
    text_output: bool = False,
) -> list[Job]:
    """Return the jobs of a command.

    One input: the output is `output`, else NAME.STAGE.jsonl beside the input. A directory: as
    many shards in `output`, else in NAME.STAGE beside it. Several inputs: merged where `output`
    has a row file's suffix, else one shard each in the directory `output`, else each beside
    itself. An `output` typed with a slash at its end is a directory, even if it does not exist.
    Named outputs: NAME.jsonl (NAME where it has a suffix) each in the directory `output`, from all
    inputs together. A folder of documents is one input.

    Args:
        plain: as for `find_shards`.
        text_output: the output's lines are not JSON rows; its name may be that of another format.

    Raises:
        MissingDataError: an input does not exist.
        UsageError: the output cannot be determined, is an input, or is that of two inputs.
    """
    sources: list[Input] = []
    for item in inputs:
        sources += find_shards([item], plain=plain) if isinstance(item, str) else [item]
    first = inputs[0]
    folder = _folder(first, sources) if len(inputs) == 1 and isinstance(first, str) else None
    if output == STDOUT or (output is None and any(source.name == STDIN for source in sources)):
        if named:
            raise UsageError(f"{stage} writes several files; name their directory with -o")
        return [Job(sources, None, state_directory(None) / f"stdout.{stage}.jsonl")]
    if output is None and folder:
        output = folder.resolve().with_name(f"{folder.resolve().name}.{stage}")
    is_directory = output is not None and is_folder(output)
    output = without_slash(output) if output else None
    kind = format_of(output) if output and not is_directory else None
    if output and kind and (kind == "csv" or (not text_output and is_misread(output, kind))):
        raise UsageError(
            f"{output}: outputs are JSON lines, Parquet or a TREC file, and under this name would "
            "be read as another format; name a file that ends in .jsonl or .parquet"
        )
    if kind == "parquet":
        check_parquet_writer()
    if named:
        home = output or _beside(sources[0], stage, folder=True)
        outputs = {name: home / (name if "." in name else f"{name}.jsonl") for name in named}
        return _checked([Job(sources, outputs, home / f"{stage}.jsonl")], home)
    if output is None:
        return _checked(_each_beside(sources, stage))
    if not (is_directory or folder or len(sources) > 1) or (
        (line_suffix(output) or kind == "parquet") and not is_directory
    ):
        _refuse_among_inputs(output, inputs)
        return _checked([Job(sources, {"": output}, output)])
    if not is_directory and output.suffix and kind != "lines":
        raise UsageError(
            f"{output}: outputs of several inputs go into a directory, or together into a file "
            f"that ends in .jsonl or .parquet; {output.suffix} is neither. Nothing was done"
        )
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"{output}: is a file; several shards need a directory, or a new name")
    return _checked([_single(source, output / _shard_name(source)) for source in sources], output)


def _folder(name: str, sources: Sequence[Input]) -> Path | None:
    """Return the folder of that name; None for a file, a pattern or documents."""
    if is_url(name):
        whole = is_pattern(name) or any(source.name == name for source in sources)
        return None if whole else without_slash(staged_path(name, state_directory(None)))
    folder = Path(local_name(name))
    return folder if folder.is_dir() and not _is_document_folder(sources[0]) else None


def _single(source: Input, output: Path) -> Job:
    return Job([source], {"": output}, output)


def _shard_name(source: Input) -> str:
    if source.name == STDIN:
        return _STDIN_SHARD
    if isinstance(source, Shard) and source.format != "lines":
        return f"{stem_of(_shown_path(source.path.resolve()))}.jsonl"
    return Path(source.name).name


def _shown_path(path: Path) -> Path:
    return path if isinstance(path, StagedPath) else Path(shown_name(path))


def _is_document_folder(source: Input) -> bool:
    return isinstance(source, Shard) and source.path.is_dir()


def _each_beside(sources: Sequence[Input], stage: str) -> list[Job]:
    """Return one job per input; skip outputs of an earlier run of the same glob."""
    outputs = [_beside(source, stage) for source in sources]
    real = RealPaths()
    resolved = set(map(real.of, outputs))
    return [
        _single(source, output)
        for source, output in zip(sources, outputs, strict=True)
        if not (isinstance(source, Shard) and real.of(source.path) in resolved)
    ]


def _refuse_among_inputs(output: Path, inputs: Sequence[str | Source]) -> None:
    """Raise UsageError if the output would be in a folder that is read: the next run would take it
    for an input."""
    real = RealPaths()
    parent = os.path.dirname(real.of(output))
    for name in inputs:
        if not isinstance(name, str):
            continue
        name = local_name(name)
        folder = os.fspath(staged_path(name, state_directory(None))) if is_url(name) else name
        if (folder != name or os.path.isdir(name)) and real.of(folder) == parent:
            raise UsageError(
                f"-o {output}: is in {name}, an input of this command, and would be read as one "
                "of its files by the next; name a file in another directory. Nothing was done"
            )


def _checked(jobs: list[Job], folder: Path | None = None) -> list[Job]:
    real = RealPaths()
    sources = {
        real.of(source.path) for job in jobs for source in job.inputs if isinstance(source, Shard)
    }
    taken, sides = dict[str, str](), dict[str, str]()
    for job in jobs:
        outputs = (job.outputs or {}).values()
        record = os.fspath(job.record_path)
        beside = [f"{record}{suffix}" for suffix in (MANIFEST_SUFFIX, *SIDE_FILES)]
        places = {real.of(name): name for name in beside}
        sides |= dict.fromkeys(places, job.inputs[0].name)
        for place, name in (places | {real.of(path): os.fspath(path) for path in outputs}).items():
            if place in sources:
                raise UsageError(
                    f"{StagedPath(name)}: is an input of this command, and would be replaced by "
                    "it; name another output with -o"
                )
        for path in outputs:
            if os.path.exists(path) and not os.path.isfile(path):
                raise UsageError(
                    f"{path}: not a regular file; name a file with -o, or - for standard output"
                )
            place = real.of(path)
            if place in taken:
                raise UsageError(
                    f"{path}: {taken[place]} and {job.inputs[0].name} would both be written "
                    "there; name one file with -o to merge them"
                )
            taken[place] = job.inputs[0].name
    for place in filter(sides.__contains__, taken):
        raise UsageError(
            f"{StagedPath(place)}: the output of {taken[place]} would be written there, where a "
            f"file beside the output of {sides[place]} is; give each an output of its own with -o. "
            "Nothing was done"
        )
    whole_set = set_manifest(folder) if folder else None
    if whole_set and whole_set.exists() and all(job.manifest_path != whole_set for job in jobs):
        raise UsageError(
            f"-o {folder}: holds shards that `prism shard` wrote, among which outputs would be "
            "read as shards; name another directory. Nothing was done"
        )
    corpus = beir_corpus(folder) if folder else None
    ours = [manifest_path(corpus), *(job.manifest_path for job in jobs)] if corpus else []
    if corpus and real.of(corpus) not in taken and not any(path.exists() for path in ours):
        raise UsageError(
            f"-o {folder}: a BEIR folder (it holds {corpus.name}), into which other files do not "
            "belong; name another directory, or a file that ends in .jsonl. Nothing was done"
        )
    return [replace(job, number=i, of=len(jobs)) for i, job in enumerate(jobs, 1)]


def _check_length(output: Path, record_path: Path) -> None:
    longest = len(os.fsencode(record_path.name)) + _LONGEST_SIDE
    size = len(os.fsencode(output.name))
    if max(longest, size) > _NAME_BYTES:
        raise InvalidNameError(
            f"{output}: a name of {size} bytes, and those of the files beside it (manifest, "
            f"rejects) are up to {longest - size} longer, where a file system takes {_NAME_BYTES}; "
            "name a shorter output with -o"
        )


def _beside(source: Input, stage: str, *, folder: bool = False) -> Path:
    if not isinstance(source, Shard):
        raise UsageError(f"{source.name}: name the output with -o")
    path = source.path.resolve() if source.path.is_dir() else _shown_path(source.path)
    suffix = line_suffix(path)
    stem = path.name.removesuffix(suffix) if suffix else stem_of(path)
    if folder:
        return path.with_name(f"{stem}.{stage}")
    return path.with_name(f"{stem}.{stage}{suffix or '.jsonl'}")


def read_lines(
    inputs: Sequence[Input],
    measured: Mapping[str, FileDigest],
    limit: int | None,
    fields: Mapping[str, str],
) -> Iterator[Line]:
    """Yield the lines of `inputs`, at most `limit` that are not blank.

    Args:
        fields: as for `decode_row`.
    """
    left = limit if limit is not None else sys.maxsize
    for source in inputs:
        name = source.name
        if isinstance(source, Shard):
            lines = source.numbered(measured.get(name), fields)
        else:
            lines = enumerate(source.lines(), 1)
        for number, raw in lines:
            if left <= 0:
                return
            if limit is None or raw.strip():
                left -= 1
            yield name, number, raw
