"""Export a model to a folder that sentence-transformers, transformers and vLLM load.

DIR/
    model*.safetensors, config.json, generation_config.json     merged weights
    tokenizer.json, tokenizer_config.json, chat_template.jinja  the profile as chat template
    modules.json, 1_LogitScore/, …sentence_transformers.json    files of a CrossEncoder
    prism.json        profile and hash
    README.md         the model card
    manifest.json     inputs, settings and figures
    SHA256SUMS        of all of these
"""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prism_cli.errors import StorageError
from prism_cli.exporting.card import Facts, model_card
from prism_cli.exporting.comparing import Shift, collapse_of, compare, logits_of
from prism_cli.exporting.evaluations import Evaluation, find_evaluations
from prism_cli.exporting.folder_record import (
    CARD,
    MANIFEST,
    export_record,
    finished_export,
    output_of,
    write_sums,
)
from prism_cli.exporting.layout import add_earlier_keys, save_tokenizer, write_modules
from prism_cli.exporting.quantizing import quantize_folder, require_torchao
from prism_cli.exporting.request import ExportRequest
from prism_cli.exporting.serving import export_summary
from prism_cli.exporting.source import Source, find_source
from prism_cli.exporting.weights import cast, load_merged, main_type, save_model, weights_bytes
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import DTYPES, load_encoder
from prism_cli.modeling.model_dir import write_profile
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import Manifest
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.whole_folder import settle_folder, whole_folder

_SMALL_FILES_BYTES = 64 << 20


def export(request: ExportRequest) -> dict[str, Any]:
    """Export; return the content of `--json`: the folder, its source, and the shift of its scores.

    Raises:
        ChangedInputError, UsageError: as `finished_export` and `output_of`.
        LockedError, MissingPackageError, ModelError: see there; nothing is published.
        StorageError: the disk is full; the previous output is unchanged.
    """
    if request.quantize:
        require_torchao()
    source = find_source(request.spec)
    encoder = load_encoder(source.model, profile=request.profile)
    evaluations = find_evaluations(source, encoder.profile)
    dtype = str(main_type(request.dtype, source.model.base.path)).removeprefix("torch.")
    output = output_of(request, source)
    with output_lock(output):
        settle_folder(output)
        record = export_record(
            output, request, source, encoder.profile, evaluations, _dtype_entry(request, dtype)
        )
        if (finished := finished_export(record, overwrite=request.overwrite)) is not None:
            request.say(f"{output}: finished before; nothing to do")
            if finished["config"]["evaluations"] != record.config["evaluations"]:
                request.say("its card has other evaluations than there are now: --overwrite")
            request.warn(finished["figures"].get("warnings", []))
            return export_summary(output, finished) | {"finished_before": True}
        work = _Export(request, source, encoder, evaluations, output, dtype)
        with storage_errors(output, "nothing was published"):
            work.run(record.manifest)
    return export_summary(output, work.content) | {"finished_before": False}


def _dtype_entry(request: ExportRequest, dtype: str) -> str:
    return f"{dtype}, as the base is stored" if request.dtype == "auto" else dtype


class _Export:
    def __init__(
        self,
        request: ExportRequest,
        source: Source,
        encoder: PromptEncoder,
        evaluations: list[Evaluation],
        output: Path,
        dtype: str,
    ) -> None:
        self._request = request
        self._source = source
        self._encoder = encoder
        self._evaluations = evaluations
        self._output = output
        self._dtype = dtype
        self.content: dict[str, Any] = {}

    def run(self, manifest: Manifest) -> None:
        """Write the folder, compare it with the model, and publish it."""
        with whole_folder(self._output) as folder:
            expected, figures = self._weights(folder)
            write_modules(self._encoder, folder)
            write_profile(folder, self._encoder.profile, defaults=self._source.model.defaults)
            if self._request.quantize:
                self._request.say(f"quantizing to {self._request.quantize}")
                quantize_folder(folder, DTYPES[self._dtype])
            add_earlier_keys(folder)
            self._request.say("reading it back and comparing scores")
            shift = compare(folder, self._encoder, expected, self._request.quantize or self._dtype)
            self._describe(folder, manifest, figures, shift)

    def _weights(self, folder: Path) -> tuple[list[float], dict[str, Any]]:
        """Write merged weights and tokenizer; return the model's logits, and figures."""
        say, source = self._request.say, self._source
        part = (
            f"{source.model.path.name}/ of "
            if source.run and source.model.path != source.run
            else ""
        )
        say(f"loading {part}{self._request.spec} in float32")
        loaded = load_merged(source.model, self._request.profile)
        say(f"{weights_bytes(loaded.model) / 1e9:.1f} GB of memory for the weights")
        expected = logits_of(loaded, self._request.spec)
        warnings = [text for text in (source.collapsed(), collapse_of(expected)) if text]
        self._request.warn(warnings)
        cast(loaded.model, self._request.dtype, source.model.base.path)
        self._check_room(weights_bytes(loaded.model))
        save_model(loaded.model, self._encoder, folder)
        save_tokenizer(self._encoder, folder)
        return expected, {
            "name": source.name,
            "architecture": type(loaded.model).__name__,
            "max_tokens": self._encoder.max_tokens,
            "parameters": sum(weight.numel() for weight in loaded.model.parameters()),
            "warnings": warnings,
        }

    def _check_room(self, weights: int) -> None:
        parent = self._output.resolve().parent
        needed = weights * (2 if self._request.quantize else 1) + _SMALL_FILES_BYTES
        free = shutil.disk_usage(parent).free
        if free < needed:
            raise StorageError(
                f"{self._output}: needs {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free in "
                f"{parent}; nothing was written. Make room, or name another place with -o"
            )

    def _describe(
        self, folder: Path, manifest: Manifest, figures: dict[str, Any], shift: Shift
    ) -> None:
        """Write the card, the manifest and the checksums."""
        manifest.figures = {**figures, "check": asdict(shift)}
        manifest.finished = True
        facts = Facts(self._source, self._encoder, self._evaluations, manifest)
        (folder / CARD).write_text(model_card(facts), encoding="utf-8")
        manifest.write(folder / MANIFEST)
        write_sums(folder)
        self.content = asdict(manifest)
