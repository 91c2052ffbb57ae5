"""The record of an exported folder: what made it, and whether this command may replace it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prism_cli.domain.prompting import Profile
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.exporting.evaluations import Evaluation
from prism_cli.exporting.request import ExportRequest
from prism_cli.exporting.source import Source
from prism_cli.modeling.digests import cached_sha256
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.run_record import RunRecord

MANIFEST, SUMS, CARD = "manifest.json", "SHA256SUMS", "README.md"
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")


def output_of(request: ExportRequest, source: Source) -> Path:
    """The folder to write.

    Raises:
        UsageError: none is named and there is no run to put it in, or it is the model's own.
    """
    if request.output is None and source.run is None:
        raise UsageError(f"{request.spec}: not a run directory, so name the output folder with -o")
    output = request.output or Path(source.run or "") / "export"
    if output.resolve() in (source.path.resolve(), source.base.resolve()):
        raise UsageError(f"-o {output}: the model's own folder; name another")
    return output


def export_record(
    output: Path,
    request: ExportRequest,
    source: Source,
    profile: Profile,
    evaluations: Sequence[Evaluation],
    dtype: str,
) -> RunRecord:
    """The record of an export to `output`."""
    config = {
        "model": source.fingerprint,
        "profile": profile.name,
        "profile_hash": profile.hash,
        "dtype": dtype,
        "quantize": request.quantize,
        "evaluations": {evaluation.name: evaluation.sha256 for evaluation in evaluations},
    }
    return RunRecord(
        "export",
        config,
        output,
        output / MANIFEST,
        inputs=list(source.files()),
        outputs=[output],
        inputs_may_grow=False,
        libraries=_LIBRARIES,
    )


def finished_export(record: RunRecord, *, overwrite: bool) -> dict[str, Any] | None:
    """The manifest of the folder where nothing is left to do, else None; changes nothing.

    Raises:
        ChangedInputError: another command made it and --overwrite was not given, or no export did.
    """
    output = record.record_path
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    previous = read_manifest(record.path) if output.is_dir() else None
    if previous is None or previous["stage"] != record.stage:
        raise ChangedInputError(
            f"{output}: exists, and no `prism export` made it; it was left as it is. Name another "
            "output with -o"
        )
    if overwrite:
        return None
    finished = record.finished()
    if finished and (changed := _changed_files(output)):
        raise ChangedInputError(
            f"{output}: not as it was exported any more: {', '.join(changed)}; it was left as "
            "it is. Name another output with -o, or replace it with --overwrite"
        )
    return finished


def write_sums(folder: Path) -> None:
    """SHA256SUMS of all other files, as `sha256sum -c` reads it."""
    lines = [f"{cached_sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(name) for name in names if str(name) != SUMS)


def _changed_files(folder: Path) -> list[str]:
    """Files that are not as they were written; the card may be edited."""
    return [name for name in _wrong(folder) if name != CARD]


def _wrong(folder: Path) -> Iterator[str]:
    sums = folder / SUMS
    if not sums.is_file():
        yield SUMS
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or cached_sha256(path) != digest:
            yield name
