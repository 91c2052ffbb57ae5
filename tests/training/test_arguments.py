"""The arguments of transformers' Trainer."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from prism_cli.configs.train import TrainConfig
from prism_cli.errors import UsageError
from prism_cli.training import process_group
from prism_cli.training.arguments import training_arguments
from prism_cli.training.process_group import ProcessGroup
from prism_cli.training.request import TrainRequest


def test_one_process_trains_on_one_of_several_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda _: 8))
    watch: Any = None
    request = TrainRequest(
        TrainConfig(dtype="float32"),
        [],
        tmp_path,
        watch=watch,
        say=print,
        show=lambda *_: nullcontext(watch),
        device="cpu",
    )
    arguments: Any = training_arguments(request, 3)
    assert arguments._n_gpu == 1  # transformers reads it: DataParallel beyond 1


def test_a_gpu_other_than_the_first_is_chosen_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_group, "resolve_device", torch.device)
    with pytest.raises(UsageError, match="CUDA_VISIBLE_DEVICES=1 prism train"):
        ProcessGroup.of("cuda:1")
    assert ProcessGroup.of("cuda:0").size == 1
