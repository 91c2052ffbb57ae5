"""What is told of time before scoring starts."""

from pathlib import Path
from typing import Any

import pytest
import torch

from prism_cli.evaluation.ranking.estimate import operations_per_second, parameter_count


def test_size_of_a_run_directory_is_its_bases(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "prism.json").write_text('{"profile": "prism", "base": "hf:Qwen/Q-0.8B"}')
    assert parameter_count(str(tmp_path)) == 0.8e9


def test_size_in_a_name(tmp_path: Path) -> None:
    assert parameter_count("hf:infgrad/Prism-Qwen3.5-Reranker-2B") == 2e9
    assert parameter_count("hf:org/nameless") is None
    (tmp_path / "prism.json").write_text('{"profile": "prism"}')
    assert parameter_count(str(tmp_path)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rate_is_of_the_dtype_that_scores(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[torch.dtype] = []
    ones = torch.ones

    def spied(*shape: int, **kind: Any) -> torch.Tensor:
        made.append(kind["dtype"])
        return ones(8, 8, **kind)

    monkeypatch.setattr(torch, "ones", spied)
    assert operations_per_second(torch.device("cpu"), dtype) > 0
    assert made == [dtype]
