"""Which inputs make which outputs, and what the files are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_cli.errors import UsageError
from prism_cli.shards.manifest import manifest_path
from prism_cli.shards.reader import SUFFIXES, Shard, Source, find_shards
from prism_cli.shards.state import state_directory

Input = Shard | Source
STDOUT = Path("-")


@dataclass(frozen=True)
class Job:
    """Inputs that become one output, or one set of named outputs.

    Attributes:
        outputs: path by name, "" for the only one; None for standard output.
        papers: the path whose name manifest, rejects and lock carry.
    """

    inputs: Sequence[Input]
    outputs: dict[str, Path] | None
    papers: Path

    @property
    def manifest_path(self) -> Path:
        """OUT.manifest.json."""
        return manifest_path(self.papers)

    @property
    def label(self) -> str:
        """What the progress calls it."""
        return Path(self.inputs[0].name).name if self.inputs[0].name != "-" else "-"

    def count_lines(self) -> int | None:
        """Lines of all inputs; None where counting would mean unpacking or fetching."""
        total = 0
        for one in self.inputs:
            if not isinstance(one, Shard) or one.path.suffix in (".gz", ".zst"):
                return None
            with one.path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    total += chunk.count(b"\n")
        return total


def plan_jobs(
    stage: str, named: Sequence[str], inputs: Sequence[str | Source], output: Path | None
) -> list[Job]:
    """The jobs of a command.

    One input: the output is `output`, else NAME.STAGE.jsonl beside the input. A directory: as
    many shards in `output`, else in NAME.STAGE beside it. Several inputs: merged where `output`
    has a row file's suffix, else one shard each in the directory `output`, else each beside
    itself. Named outputs: NAME.jsonl each in the directory `output`, from all inputs together.

    Raises:
        MissingDataError: an input that is not there.
        UsageError: the output cannot be told, or is one of the inputs.
    """
    found: list[Input] = []
    for one in inputs:
        found += find_shards([one]) if isinstance(one, str) else [one]
    if output == STDOUT or (output is None and any(one.name == "-" for one in found)):
        if named:
            raise UsageError(f"{stage} writes several files; name their directory with -o")
        return [Job(found, None, state_directory(None) / f"stdout.{stage}.jsonl")]
    if named:
        folder = output or _beside(found[0], stage, folder=True)
        outputs = {name: folder / f"{name}.jsonl" for name in named}
        return [_checked(Job(found, outputs, folder / f"{stage}.jsonl"))]
    folder_given = len(inputs) == 1 and isinstance(inputs[0], str) and Path(inputs[0]).is_dir()
    if output is None:
        if folder_given:
            given = Path(str(inputs[0])).resolve()
            output = given.with_name(f"{given.name}.{stage}")
        else:
            return [_single(one, _beside(one, stage)) for one in found]
    elif not folder_given and (len(found) == 1 or output.name.endswith(_ROW_FILES)):
        if output.is_dir():
            output = output / Path(found[0].name).name
        return [_checked(Job(found, {"": output}, output))]
    if output.name.endswith(_ROW_FILES) and len(found) == 1:
        return [_single(found[0], output)]
    return [_single(one, output / Path(one.name).name) for one in found]


_ROW_FILES = (*SUFFIXES, ".jsonl")


def _single(one: Input, output: Path) -> Job:
    return _checked(Job([one], {"": output}, output))


def _checked(job: Job) -> Job:
    sources = {one.path.resolve() for one in job.inputs if isinstance(one, Shard)}
    for output in (job.outputs or {}).values():
        if output.resolve() in sources:
            raise UsageError(f"{output}: is an input of this command; name another output with -o")
    return job


def _beside(one: Input, stage: str, *, folder: bool = False) -> Path:
    if not isinstance(one, Shard):
        raise UsageError(f"{one.name}: name the output with -o")
    for suffix in SUFFIXES:
        if one.path.name.endswith(suffix):
            stem = one.path.name.removesuffix(suffix)
            break
    else:
        stem, suffix = one.path.stem, ".jsonl"
    if folder:
        return one.path.with_name(f"{stem}.{stage}")
    return one.path.with_name(f"{stem}.{stage}{suffix}")
