"""Weights and optimizer of a checkpoint in a file of each process (torch.distributed.checkpoint).

Each process writes what FSDP has sharded to it. They are read by any number of processes, sharded
or not.
"""

from pathlib import Path
from typing import Any

from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.writer import flush_file
from prism_cli.training.process_group import ProcessGroup

_FOLDER = "shards"
_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


def save_shards(folder: Path, model: nn.Module, optimizer: Optimizer, group: ProcessGroup) -> None:
    """Write the trained weights and the optimizer's state below the checkpoint `folder`.

    Every process calls it.
    """
    save(
        _state(model, optimizer),
        checkpoint_id=folder / _FOLDER,
        process_group=group.control,
        no_dist=group.size == 1,
    )


def load_shards(folder: Path, model: nn.Module, optimizer: Optimizer, group: ProcessGroup) -> None:
    """Load what `save_shards` wrote; every process calls it, also of another number."""
    state = _state(model, optimizer)
    load(
        state,
        checkpoint_id=folder / _FOLDER,
        process_group=group.control,
        no_dist=group.size == 1,
    )
    set_state_dict(
        model,
        getattr(optimizer, "optimizer", optimizer),
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=_OPTIONS,
    )


def has_shards(folder: Path) -> bool:
    """Return True if `save_shards` wrote the checkpoint `folder`."""
    return (folder / _FOLDER).is_dir()


def own_digests(folder: Path, rank: int) -> dict[str, str]:
    """Flush the files of the process `rank` below the checkpoint `folder` to the disk.

    Returns:
        path below `folder` -> SHA-256, as hex.
    """
    own = sorted(folder.glob(f"{_FOLDER}/__{rank}_*"))
    for path in own:
        flush_file(path)
    return {str(path.relative_to(folder)): digest_file(path).sha256 for path in own}


def _state(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate's wrapper
    weights, optimizer_state = get_state_dict(model, inner, options=_OPTIONS)
    return {"model": weights, "optimizer": optimizer_state}
