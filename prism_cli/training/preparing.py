"""Preparation of a run: number type, prompt encoder, tokenized rows and plan."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from prism_cli.configs.train import Dtype, TrainConfig
from prism_cli.errors import ModelError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.forward_pass import require_reranker
from prism_cli.modeling.loading import load_config, load_encoder, resolve_device, resolve_dtype
from prism_cli.modeling.lora import add_lora, continue_lora, recompute_activations, train_all
from prism_cli.modeling.model_folder import ModelFolder, resolve_model
from prism_cli.shards.reader import Shard, find_shards
from prism_cli.training.data import TokenizedRows, tokenize
from prism_cli.training.plan import Plan, make_plan
from prism_cli.training.request import TrainRequest
from prism_cli.training.trackers import require_trackers


def with_resolved_dtype(request: TrainRequest) -> TrainRequest:
    """Return the request with the number type that `fast` means on this machine."""
    dtype = resolve_dtype(request.config.dtype, resolve_device(request.device))
    name = cast(Dtype, str(dtype).removeprefix("torch."))
    return replace(request, config=replace(request.config, dtype=name))


def plan_only(request: TrainRequest) -> dict[str, Any]:
    """Return the figures of the plan without starting the run; leaves no files.

    Raises:
        MissingDataError, ModelError, UsageError: as `train`.
    """
    request = with_resolved_dtype(request)
    require_trackers(request.config.report_to)
    shards, dev_shards = find_shards(request.inputs), find_shards(request.dev)
    base, encoder = base_model(request.config)
    digests = [[shard.digest().sha256 for shard in group] for group in (shards, dev_shards)]
    with TemporaryDirectory() as folder:
        rows, dev = tokenized_rows(
            request, encoder, Path(folder) / "tokens", shards, dev_shards, digests
        )
        device = resolve_device(request.device).type
        plan = make_plan(request.config, base, rows, dev, 1, device)
    show_plan(request, plan)
    return plan.figures


def base_model(config: TrainConfig) -> tuple[ModelFolder, PromptEncoder]:
    """Resolve the base model without its weights, and load its prompt encoder.

    Raises:
        ModelError: no such model, one that cannot be a reranker, or an adapter for full training.
    """
    folder = resolve_model(config.model, weights=False)
    encoder = load_encoder(folder, config.max_tokens, profile=config.profile)
    require_reranker(load_config(folder.base.path), encoder)
    if folder.adapter is not None and config.method == "full":
        raise ModelError(
            f"model {config.model}: an adapter; expected a whole model to train in full. Merge it "
            f"into its base first: prism export {config.model} -o DIR, then --model DIR"
        )
    return folder, encoder


def tokenized_rows(
    request: TrainRequest,
    encoder: PromptEncoder,
    folder: Path,
    shards: Sequence[Shard],
    dev_shards: Sequence[Shard],
    digests: Sequence[Sequence[str]],
    *,
    writes: bool = True,
) -> tuple[TokenizedRows, TokenizedRows | None]:
    """Tokenize training rows and dev rows into Arrow files in `folder`.

    Args:
        digests: SHA-256 of each file of `shards`, and of `dev_shards`.
        writes: False in a process that reads what another one wrote.

    Raises:
        MissingDataError, StorageError: as `tokenize`.
    """
    rows = tokenize(
        shards,
        encoder,
        folder,
        digests=digests[0],
        fields=request.fields,
        limit=request.limit,
        between=request.watch.check,
        writes=writes,
    )
    if not dev_shards:
        return rows, None
    dev = tokenize(
        dev_shards,
        encoder,
        folder,
        digests=digests[1],
        fields=request.fields,
        name="dev",
        between=request.watch.check,
        writes=writes,
    )
    return rows, dev


def trainable(loaded: PreTrainedModel, config: TrainConfig, adapter: Path | None) -> nn.Module:
    """Return the loaded base model with the weights to train: all, a new adapter, or `adapter`."""
    if config.method == "full":
        model = train_all(loaded)
    elif adapter is not None:
        model = continue_lora(loaded, adapter)
    else:
        model = add_lora(loaded, **asdict(config.lora))
    if config.gradient_checkpointing:
        recompute_activations(loaded)
    return model


def show_plan(request: TrainRequest, plan: Plan) -> None:
    """Show the plan and its notes to the user."""
    request.show_plan(plan.figures)
    for note in plan.notes:
        request.say(note)
