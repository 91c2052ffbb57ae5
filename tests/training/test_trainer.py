"""The Trainer against the loop that it stands for, and what it does when memory is short."""

from typing import Any

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, set_seed

from prism_cli.domain.mixture import draw_rows
from prism_cli.modeling.loading import load_encoder, load_model
from prism_cli.modeling.lora import add_lora
from prism_cli.modeling.losses import RowForward
from prism_cli.shards.reader import find_shards
from prism_cli.training import trainer
from prism_cli.training.batches import StepDataset
from prism_cli.training.data import tokenize
from prism_cli.training.process_group import ProcessGroup
from tests.factories import read_jsonl
from tests.training.runs import Toy
from tests.written_out import row_loss

STEPS, ROWS, RATE = 20, 16, 0.03
SETTINGS = (
    "--set", f"max_steps={STEPS}", "--set", "epochs=20", "--set", f"rows_per_step={ROWS}",
    "--set", "log_steps=1", "--set", f"learning_rate={RATE}",
    "--set", "lora.dropout=0.0", "--set", "warmup_steps=4",
)  # fmt: skip


FEW_STEPS = (*SETTINGS, "--set", "max_steps=5")


def losses(toy: Toy, run: str = "run", steps: int = STEPS) -> list[float]:
    lines = [line for line in read_jsonl(toy.folder / run / "log.jsonl") if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    return [line["loss"] for line in lines]


def written_out(toy: Toy) -> list[float]:
    """20 steps as the paper has them: a row at a time, the whole head, gradients accumulated."""
    encoder = load_encoder(str(toy.model), 256)
    rows = tokenize(
        find_shards([str(toy.folder / "train.jsonl")]), encoder, toy.folder / "own", digests=["x"]
    )
    steps = StepDataset(rows, draw_rows(rows.pools, 0.5, "mixed", 0, STEPS * ROWS), ROWS)
    set_seed(0)
    model = load_model(str(toy.model), device="cpu", dtype="float32").model
    tuned: Any = add_lora(model, 4, 8, 0.0, ["q_proj", "v_proj", "down_proj"])
    trained = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, 4, STEPS)
    tuned.train()
    found, norms = [], []
    for step in range(STEPS):
        total = 0.0
        for row in steps[step]:
            loss = row_loss(tuned, row, encoder.yes_id, encoder.no_id) / ROWS
            loss.backward()
            total += loss.item()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained, 1.0)))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        found.append(total)
    assert max(norms) > 1  # else the clip is not part of what is compared
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_steps_are_those_of_the_written_out_loop_whatever_the_passes(toy: Toy) -> None:
    expected = written_out(toy)
    assert sum(expected[-5:]) < 0.8 * sum(expected[:5])
    for budget in (600, 100_000):
        done = toy.train(*SETTINGS, "--set", f"tokens_per_batch={budget}", run=f"run{budget}")
        assert done.returncode == 0, done.stderr
        assert losses(toy, f"run{budget}") == pytest.approx(expected, rel=1e-4)


def out_of_memory(monkeypatch: pytest.MonkeyPatch, most_rows: int) -> list[int]:
    """The model has memory for so many rows at a time; the sizes of the passes that were tried."""
    real, tried = RowForward.forward, []

    def forward(self: RowForward, batch: Any) -> Any:
        tried.append(len(batch.verdict_at))
        if tried[-1] > most_rows:
            raise torch.OutOfMemoryError("no memory for so much")
        return real(self, batch)

    monkeypatch.setattr(RowForward, "forward", forward)
    return tried


def test_passes_shrink_where_memory_is_short_and_the_loss_stays(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*FEW_STEPS, "--set", "tokens_per_batch=100000")
    assert toy.train(*settings, run="whole").returncode == 0
    tried = out_of_memory(monkeypatch, 4)
    done = toy.train(*settings)
    assert done.returncode == 0, done.stderr
    assert tried[0] == ROWS
    assert max(tried[20:]) <= 4  # found once, not in each step
    assert losses(toy, steps=5) == pytest.approx(losses(toy, "whole", 5), rel=1e-5)


def test_memory_that_ends_within_a_step_counts_no_row_twice(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*FEW_STEPS, "--set", "tokens_per_batch=600")
    assert toy.train(*settings, run="whole").returncode == 0
    real, passes = RowForward.forward, 0

    def forward(self: RowForward, batch: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == 2:  # the first one's gradients are there
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to …")
        return real(self, batch)

    monkeypatch.setattr(RowForward, "forward", forward)
    done = toy.train(*settings)
    assert done.returncode == 0, done.stderr
    assert losses(toy, steps=5) == pytest.approx(losses(toy, "whole", 5), rel=1e-4)


def test_a_row_that_does_not_fit_alone_is_named(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory(monkeypatch, 0)
    done = toy.train(*SETTINGS)
    assert done.returncode == 3
    assert f"{toy.folder / 'train.jsonl'}:" in done.stderr
    assert "do not fit into memory alone" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_processes_wait_for_a_checkpoint_before_the_next_step(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the next step they would wait with NCCL, which gives up after ten minutes."""
    calls: list[str] = []

    def noted(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*words: Any) -> Any:
            calls.append(name)
            return real(*words)

        monkeypatch.setattr(owner, name, call)

    noted(trainer, "commit_checkpoint")
    noted(ProcessGroup, "wait")
    noted(RowForward, "forward")
    done = toy.train("--set", "max_steps=4")
    assert done.returncode == 0, done.stderr
    commits = [number for number, name in enumerate(calls) if name == "commit_checkpoint"]
    assert len(commits) == 2
    assert [calls[number + 1] for number in commits] == ["wait", "wait"]
