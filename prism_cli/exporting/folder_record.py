"""The run record of an exported folder, and the check that this command may replace it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prism_cli.domain.prompting import Profile
from prism_cli.errors import ChangedInputError, UsageError
from prism_cli.exporting.evaluations import Evaluation
from prism_cli.exporting.request import ExportRequest
from prism_cli.exporting.serving import export_summary
from prism_cli.exporting.source import Source
from prism_cli.modeling.digests import cached_sha256
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.run_record import RunRecord
from prism_cli.shards.writer import whole_file

MANIFEST, SUMS, CARD = "manifest.json", "SHA256SUMS", "README.md"
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors")


def output_of(request: ExportRequest, source: Source) -> Path:
    """Return the folder to write.

    Raises:
        UsageError: none is named and there is no run directory, or it is the model's own folder.
    """
    if request.output is None and source.run is None:
        raise UsageError(f"{request.spec}: not a run directory, so name the output folder with -o")
    output = request.output or Path(source.run or "") / "export"
    if output.resolve() in (source.model.path.resolve(), source.model.base.path.resolve()):
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
    """Return the record of an export to `output`."""
    config = {
        "model": source.model.fingerprint,
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
        bookkeeping=("evaluations",),
        libraries=_LIBRARIES,
    )


def finished_export(record: RunRecord, *, overwrite: bool) -> dict[str, Any] | None:
    """Return the manifest of the folder if this export is finished, else None; changes nothing.

    Raises:
        ChangedInputError: another command made it and --overwrite was not given, or it is not the
            output of an export.
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
    if finished:
        _check_unchanged(output)
    return finished


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all other files, for `sha256sum -c`."""
    lines = [f"{cached_sha256(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def update_sum(folder: Path, name: str) -> None:
    """Write the present SHA-256 of one file into SHA256SUMS, if it changed."""
    sums = (folder / SUMS).read_text(encoding="utf-8")
    digest = cached_sha256(folder / name)
    lines = [
        f"{digest}  {name}" if line.partition("  ")[2] == name else line
        for line in sums.splitlines()
    ]
    updated = "".join(f"{line}\n" for line in lines)
    if updated != sums:
        with whole_file(folder / SUMS) as file:
            file.write(updated.encode())


def listed_files(folder: Path) -> list[str]:
    """Return the names in SHA256SUMS."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return [line.partition("  ")[2] for line in lines]


def exported_before(request: ExportRequest) -> dict[str, Any] | None:
    """Return the summary of the model if it is an exported folder and no other output is asked for.

    Raises:
        ChangedInputError: a file of it other than the card was changed or removed.
        ModelError: as `ExportRequest.warn`.
    """
    if ExportRequest(request.spec, None, request.say, strict=request.strict) != request:
        return None
    folder = Path(request.spec.removeprefix("hf:")).expanduser()
    manifest = read_manifest(folder / MANIFEST) if folder.is_dir() else None
    if manifest is None or manifest["stage"] != "export" or not manifest["finished"]:
        return None
    _check_unchanged(folder)
    request.warn(manifest["figures"].get("warnings", []))
    return export_summary(folder, manifest) | {"finished_before": True}


def _check_unchanged(output: Path) -> None:
    if changed := _changed_files(output):
        raise ChangedInputError(
            f"{output}: changed since its export: {', '.join(changed)}; it was left as it is. Name "
            "another output with -o, or replace it with --overwrite"
        )


def _files(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(name) for name in names if str(name) != SUMS)


def _changed_files(folder: Path) -> list[str]:
    """Return the files that differ from SHA256SUMS; the card may be edited."""
    return [name for name in _mismatches(folder) if name != CARD]


def _mismatches(folder: Path) -> Iterator[str]:
    sums = folder / SUMS
    if not sums.is_file():
        yield SUMS
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or cached_sha256(path) != digest:
            yield name
