"""transformers' Trainer, with prism's loss: one dataloader item is one optimizer step's rows.

Accelerate and the loggers of TrainingArguments.report_to work as in any Trainer. Processes with the
whole model each (DDP) exchange gradients once a step, after all passes, so that one of them may
shrink its passes alone. Sharded weights (FSDP 2) are gathered in each pass, so there all processes
make as many passes as the one with the most.
"""

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch
from accelerate.utils import save_fsdp_optimizer
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from transformers.trainer import SCHEDULER_NAME

from prism_cli.errors import ModelError, UsageError
from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow, step_loss
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.training.batches import Steps, token_batches
from prism_cli.training.between import Between, Hooks
from prism_cli.training.checkpoints import commit_checkpoint
from prism_cli.training.meter import TIMED, Meter
from prism_cli.training.publish import save_weights
from prism_cli.training.sharded import whole_weights
from prism_cli.training.team import sum_gradients

_LIKE = 0.8
"""How like in length the rows of a pass are that are padded to the longest one."""


@dataclass(frozen=True)
class Weights:
    """What of the loss and of the passes is set by the recipe."""

    gamma_point: float
    gamma_sft: float
    rows_per_step: int
    tokens_per_batch: int


class PrismTrainer(Trainer):
    """Trains a `RowForward`.

    Args:
        forward: the model with its verdict tokens.
        arguments: its `output_dir` is a staging folder.
        steps: the training rows, by step.
        checkpoints: the folder that gets the complete ones.
        keep: how many stay there.
    """

    def __init__(
        self,
        forward: RowForward,
        arguments: TrainingArguments,
        steps: Steps,
        weights: Weights,
        hooks: Hooks,
        checkpoints: Path,
        keep: int,
    ) -> None:
        self._meter = Meter(forward.yes_id)
        super().__init__(
            model=forward,
            args=arguments,
            train_dataset=steps,
            callbacks=[Between(hooks, self._meter)],
        )
        self.remove_callback(PrinterCallback)
        if self.is_fsdp_enabled and not self.accelerator.is_fsdp2:
            raise UsageError(
                "FSDP of version 1: expected 2. Give accelerate launch --fsdp_version 2"
            )
        self._forward = forward
        self._weights = weights
        self._hooks = hooks
        self._checkpoints = checkpoints
        self._keep = keep
        self._budget = weights.tokens_per_batch
        self._like = 0.0 if forward.packs else _LIKE

    def get_train_dataloader(self) -> DataLoader[list[TokenizedRow]]:
        """The steps in order; not handed to accelerate, for each process reads its own rows."""
        assert isinstance(self.train_dataset, Steps)
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=_only)

    def training_step(
        self,
        model: nn.Module,
        inputs: Any,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Gradients of one step's rows, in passes of at most `tokens_per_batch`; returns the loss.

        Raises:
            ModelError: a loss that is not finite, or a row that does not fit into memory alone;
                carries the rows' places.
        """
        rows: list[TokenizedRow] = inputs
        model.train()
        while True:
            try:
                total = self._passes(model, rows)
                break
            except torch.OutOfMemoryError as error:
                self._shrink(rows, error)
            # Here the error, and with it the activations that its frames hold, is gone.
            model.zero_grad()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if self._apart:
            sum_gradients(model)
        return total

    @property
    def _apart(self) -> bool:
        """Whether each process has gradients of its own until the step's last pass is done."""
        return self.args.world_size > 1 and not self.is_fsdp_enabled

    def _passes(self, model: nn.Module, rows: Sequence[TokenizedRow]) -> Tensor:
        weights, processes = self._weights, self.args.world_size
        device, sharded = self.args.device, self.is_fsdp_enabled
        passes: list[tuple[Sequence[TokenizedRow], float]]
        passes = [(some, 1.0) for some in token_batches(rows, self._budget, self._like)]
        if sharded:
            most = int(self.accelerator.gather(torch.tensor([len(passes)], device=device)).max())
            shortest = min(rows, key=lambda row: row.tokens)
            passes += [([shortest], 0.0)] * (most - len(passes))
        done: list[tuple[Sequence[TokenizedRow], Tensor, Tensor, Tensor]] = []
        with self.accelerator.no_sync(model) if self._apart else nullcontext():
            for some, counts in passes:
                batch = RowBatch.of(some, device)
                logit, pointwise, sft = self._pass(model, batch, some)
                # FSDP averages over processes: each one's share counts that many times.
                share = counts * (processes if sharded else 1) / weights.rows_per_step
                self.accelerator.backward((pointwise + sft).sum() * share)
                if counts:
                    done.append((some, logit.detach(), pointwise.detach(), sft.detach()))
        total = torch.zeros((), device=device)
        for some, logit, pointwise, sft in done:  # none of a step that did not fit into memory
            self._meter.add(some, logit, pointwise, sft)
            total += (pointwise + sft).sum()
        loss: Tensor = total * (processes / weights.rows_per_step)
        return loss

    def _pass(
        self, model: nn.Module, batch: RowBatch, rows: Sequence[TokenizedRow]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each row's logit, and its parts of the loss as `step_loss`."""
        weights = self._weights
        with self.compute_loss_context_manager():
            logit, cross_entropy = model(batch)
            pointwise, sft = step_loss(
                logit,
                cross_entropy,
                batch,
                gamma_point=weights.gamma_point,
                gamma_sft=weights.gamma_sft,
            )
        good = torch.isfinite(pointwise + sft).tolist()
        places = [row.place for row, one in zip(rows, good, strict=True) if not one]
        if places:
            raise ModelError(
                f"step {self.state.global_step + 1}: the loss is not a finite number for "
                f"{', '.join(places[:5])}; nothing of this step was kept. Lower learning_rate, "
                "or take these rows out"
            )
        return logit, pointwise, sft

    def _shrink(self, rows: Sequence[TokenizedRow], error: Exception) -> None:
        widest = max(rows, key=lambda row: row.tokens)
        if self.is_fsdp_enabled:  # the others are in the midst of the same pass
            raise ModelError(
                f"tokens_per_batch = {self._budget} does not fit into memory "
                f"({str(error).splitlines()[0]}), and a pass over sharded weights cannot be tried "
                "again by one process. Lower tokens_per_batch; the same command goes on from the "
                "newest checkpoint"
            ) from error
        if self._budget <= widest.tokens:
            raise ModelError(
                f"{widest.place}: its {widest.tokens} tokens do not fit into memory alone "
                f"({str(error).splitlines()[0]}). Lower max_tokens, or set gradient_checkpointing"
            ) from error
        self._budget = max(self._budget // 2, widest.tokens)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Hand a line of figures to the run, and to Trainer's own loggers; all processes call."""
        if "loss" in logs:
            found = self._meter.figures(self._add_up, self._weights.rows_per_step)
            timed = found.pop(TIMED)
            logs |= found
            self._hooks.on_log(self.state.global_step, {**logs, TIMED: timed})
            logs |= timed
        super().log(logs, start_time)

    def _add_up(self, sums: Tensor) -> Tensor:
        found: Any = self.accelerator.reduce(sums.float().to(self.args.device), "sum")
        added: Tensor = found
        return added

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise ModelError(
                f"step {self.state.global_step + 1}: the gradient is not finite; nothing of this "
                "step was kept. Lower learning_rate"
            )
        return norm

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Adapter or weights, whole; every process calls it."""
        assert output_dir is not None
        whole = whole_weights(self._forward)
        if self.args.should_save:
            save_weights(self._forward.model, Path(output_dir), whole)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        # As transformers does, less its second copy of the weights, the frozen ones included.
        plugin: Any = self.accelerator.state.fsdp_plugin
        save_fsdp_optimizer(plugin, self.accelerator, self.optimizer, self.model, output_dir)
        if self.args.should_save:
            assert self.lr_scheduler is not None
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _prepare_for_training(self, max_steps: Any, dataloader: Any, resume: Any) -> Any:
        if resume and self.is_fsdp_enabled:
            self._load_weights(resume)  # before they are split
        return super()._prepare_for_training(  # type: ignore[no-untyped-call]
            max_steps, dataloader, resume
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self.is_fsdp_enabled:
            self._load_weights(resume_from_checkpoint)

    def _load_weights(self, resume_from_checkpoint: str) -> None:
        inner: Any = self._forward.model
        state: dict[str, Tensor] = {}
        for path in sorted(Path(resume_from_checkpoint).glob("*.safetensors")):
            state |= load_file(path)
        if hasattr(inner, "peft_config"):
            from peft import set_peft_model_state_dict

            set_peft_model_state_dict(inner, state)
        else:
            inner.load_state_dict(state, strict=False)  # tied weights are stored once
            inner.tie_weights()

    def _meter_file(self, checkpoint: Path) -> Path:
        """What this process has counted for the next line of the log."""
        return checkpoint / f"meter_{self.args.process_index}.json"

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        counted = checkpoint and self._meter_file(Path(checkpoint))
        if counted and counted.is_file():  # earlier versions wrote none
            self._meter.restore(orjson.loads(counted.read_bytes()))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        staging = Path(str(self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        with storage_errors(self._checkpoints / name, "the checkpoint before it is whole"):
            super()._save_checkpoint(model, trial)
            counted = self._meter_file(staging / name)
            counted.parent.mkdir(parents=True, exist_ok=True)
            counted.write_bytes(orjson.dumps(self._meter.state()))
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                commit_checkpoint(staging / name, self._checkpoints, self._keep)


def _only(items: Sequence[list[TokenizedRow]]) -> list[TokenizedRow]:
    return items[0]
