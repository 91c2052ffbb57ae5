"""One export: a model spec to a folder that sentence-transformers, transformers and vLLM load.

DIR/
    model*.safetensors, config.json, generation_config.json     merged weights
    tokenizer.json, tokenizer_config.json, chat_template.jinja  the profile as chat template
    modules.json, 1_LogitScore/, …sentence_transformers.json    what makes it a CrossEncoder
    prism.json        profile and hash
    README.md         the model card
    manifest.json     what it was made from
    SHA256SUMS        of all of these
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prism_cli.errors import ModelError, StorageError
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
from prism_cli.exporting.layout import save_tokenizer, write_modules
from prism_cli.exporting.quantizing import need_library, quantize_folder
from prism_cli.exporting.request import ExportRequest
from prism_cli.exporting.serving import serve_line, write_line
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
    """Export, and return what `--json` shows: the folder, what it was made from and how far its
    scores are from the model's.

    Raises:
        ChangedInputError, UsageError: as `finished_export` and `output_of` say.
        LockedError, MissingPackageError, ModelError: as they say; nothing is published.
        StorageError: the disk is full; what was there is as it was.
    """
    if request.quantize:
        need_library()
    source = find_source(request.spec)
    encoder = load_encoder(request.spec, profile=request.profile)
    evaluations = find_evaluations(source, encoder.profile)
    dtype = str(main_type(request.dtype, source.base)).removeprefix("torch.")
    output = output_of(request, source)
    with output_lock(output):
        settle_folder(output)
        record = export_record(
            output, request, source, encoder.profile, evaluations, _told(request, dtype)
        )
        if (finished := finished_export(record, overwrite=request.overwrite)) is not None:
            request.say(f"{output}: finished before; nothing to do")
            _warn(request, finished["figures"].get("warnings", []))
            return _summary(output, finished) | {"finished_before": True}
        work = _Export(request, source, encoder, evaluations, output, dtype)
        with storage_errors(output, "nothing was published"):
            work.run(record.manifest)
    return _summary(output, work.content) | {"finished_before": False}


def _told(request: ExportRequest, dtype: str) -> str:
    return f"{dtype}, as the base is stored" if request.dtype == "auto" else dtype


def _warn(request: ExportRequest, warnings: Sequence[str]) -> None:
    """Tell of a model that is fit for nothing.

    Raises:
        ModelError: with `strict`.
    """
    if warnings and request.strict:
        raise ModelError(
            f"{request.spec}: {'; '.join(warnings)}. Nothing was published, because of "
            "--strict-model"
        )
    for one in warnings:
        request.say(f"warning: {one}")


def _summary(output: Path, content: dict[str, Any]) -> dict[str, Any]:
    figures = content["figures"]
    words = (figures["architecture"], str(output), figures["max_tokens"])
    return {
        "output": str(output),
        "config": content["config"],
        **figures,
        "vllm": {"score": serve_line(*words), "text": write_line(str(output), words[2])},
    }


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
        """Fill the folder, hold it against the model, publish it."""
        with whole_folder(self._output) as folder:
            expected, figures = self._weights(folder)
            write_modules(self._encoder, folder)
            write_profile(folder, self._encoder.profile)
            if self._request.quantize:
                self._request.say(f"quantizing to {self._request.quantize}")
                quantize_folder(folder, DTYPES[self._dtype])
            self._request.say("reading it back and comparing scores")
            shift = compare(folder, self._encoder, expected, self._request.quantize or self._dtype)
            self._describe(folder, manifest, figures, shift)

    def _weights(self, folder: Path) -> tuple[list[float], dict[str, Any]]:
        """Merged weights and tokenizer; the model's own logits. The model is let go again."""
        say, source = self._request.say, self._source
        what = f"{source.path.name}/ of " if source.run and source.path != source.run else ""
        say(f"loading {what}{self._request.spec} in float32")
        loaded = load_merged(self._request.spec, self._request.profile)
        say(f"{weights_bytes(loaded.model) / 1e9:.1f} GB of memory for the weights")
        expected = logits_of(loaded, self._request.spec)
        warnings = [source.collapsed(), collapse_of(expected)]
        told = [one for one in warnings if one is not None]
        _warn(self._request, told)
        cast(loaded.model, self._request.dtype, source.base)
        self._check_room(weights_bytes(loaded.model))
        save_model(loaded.model, self._encoder, folder)
        max_tokens = save_tokenizer(self._encoder, loaded.model.config, folder)
        return expected, {
            "name": source.name,
            "architecture": type(loaded.model).__name__,
            "max_tokens": max_tokens,
            "parameters": sum(one.numel() for one in loaded.model.parameters()),
            "warnings": told,
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
