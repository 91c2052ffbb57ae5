"""transformers' Trainer with prism's loss: one dataloader item is the rows of one optimizer step.

Accelerate works as in any Trainer; experiment trackers are fed by the journal. With DDP (the full
model in each process), gradients are exchanged once per step, after all passes, so that a process
may shrink its passes independently; losses and weights are those of one process, bit by bit, if
each process has whole passes. With FSDP 2, weights are gathered in each pass, so all processes make
the same number of passes, and gradients are summed in float32.
"""

import shutil
from collections import ChainMap
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
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
from prism_cli.modeling.memory_errors import is_out_of_memory
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.training.batches import Pass, StepDataset, passes_of_rank, token_batches
from prism_cli.training.callbacks import StepHooks, TrainingCallbacks
from prism_cli.training.checkpoints import commit_checkpoint
from prism_cli.training.finite_weights import FiniteWeights
from prism_cli.training.gradients import GradientSums
from prism_cli.training.meter import TIMED, Meter, merged
from prism_cli.training.process_group import ProcessGroup
from prism_cli.training.publish import save_weights
from prism_cli.training.sharded_checkpoints import (
    has_shards,
    load_shards,
    own_digests,
    save_shards,
)

_SIMILARITY = 0.8
"""`similarity` of `token_batches` for a model that pads rows."""
_METER = "meter.json"
"""The sums of all processes for the next line of the log, in a checkpoint."""


@dataclass(frozen=True)
class StepSettings:
    """Settings of the loss and of the passes of a step."""

    gamma_point: float
    gamma_sft: float
    rows_per_step: int
    tokens_per_batch: int


class PrismTrainer(Trainer):
    """Trains a `RowForward`.

    Args:
        arguments: its `output_dir` is a staging folder.
        steps: the training rows, by step.
        checkpoints: the folder of the complete checkpoints.
        keep: maximum number of checkpoints.
    """

    def __init__(
        self,
        group: ProcessGroup,
        forward: RowForward,
        arguments: TrainingArguments,
        steps: StepDataset,
        settings: StepSettings,
        hooks: StepHooks,
        checkpoints: Path,
        keep: int,
    ) -> None:
        self._meter = Meter(forward.yes_id)
        super().__init__(
            model=forward,
            args=arguments,
            train_dataset=steps,
            callbacks=[TrainingCallbacks(hooks, self._meter, FiniteWeights(forward, group))],
        )
        self.remove_callback(PrinterCallback)
        if self.is_fsdp_enabled and not self.accelerator.is_fsdp2:
            raise UsageError(
                "FSDP of version 1: expected 2. Give accelerate launch --fsdp_version 2"
            )
        self._group = group
        self._forward = forward
        self._gradients = None if self.is_fsdp_enabled else GradientSums(forward.parameters())
        self._settings = settings
        self._hooks = hooks
        self._checkpoints = checkpoints
        self._keep = keep
        self._budget = settings.tokens_per_batch
        self._similarity = 0.0 if forward.packs else _SIMILARITY

    def get_train_dataloader(self) -> DataLoader[list[TokenizedRow]]:
        """Return the steps in order, not prepared by accelerate: each process reads all rows."""
        assert isinstance(self.train_dataset, StepDataset)
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=_only)

    def training_step(
        self,
        model: nn.Module,
        inputs: Any,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Compute gradients of a step in passes of at most `tokens_per_batch`; return the loss.

        Raises:
            ModelError: a loss is not finite, or a single row does not fit into memory; has the
                places of the rows.
        """
        rows: list[TokenizedRow] = inputs
        group, budget = self._group, self._settings.tokens_per_batch
        passes = passes_of_rank(rows, budget, self._similarity, group.rank, group.size)
        model.train()
        while True:
            if self._gradients:
                self._gradients.clear()
            try:
                total = self._passes(model, passes)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink([row for one in passes for row in one.rows], error)
            # By now the error is freed, with the activations that its frames reference.
            model.zero_grad()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if self._gradients:
            self._gradients.finish(group.size)
        return total

    def _passes(self, model: nn.Module, step_passes: Sequence[Pass]) -> Tensor:
        rows_per_step, processes = self._settings.rows_per_step, self._group.size
        device, sharded = self.args.device, self._gradients is None
        passes = [
            (Pass(one.number, batch), 1.0)
            for one in step_passes
            for batch in token_batches(one.rows, self._budget, self._similarity)
        ]
        if sharded:
            most = max(self._group.gather(len(passes)))
            shortest = min((one.rows[-1] for one, _ in passes), key=lambda row: row.tokens)
            passes += [(Pass(0, [shortest]), 0.0)] * (most - len(passes))
        done: list[tuple[Sequence[TokenizedRow], Tensor, Tensor, Tensor]] = []
        local = processes > 1 and not sharded
        with self.accelerator.no_sync(model) if local else nullcontext():
            for one, weight in passes:
                self._seed(one.number)
                logit, pointwise, sft = self._pass(model, RowBatch.of(one.rows, device), one.rows)
                # FSDP averages over processes, so the loss is multiplied by their number.
                scale = weight * (processes if sharded else 1) / rows_per_step
                self.accelerator.backward((pointwise + sft).sum() * scale)
                if weight:
                    done.append((one.rows, logit.detach(), pointwise.detach(), sft.detach()))
        total = torch.zeros((), device=device)
        for batch, logit, pointwise, sft in done:  # not reached if memory was exhausted
            self._meter.add(batch, logit, pointwise, sft)
            total += (pointwise + sft).sum()
        loss: Tensor = total * (processes / rows_per_step)
        return loss

    def _seed(self, number: int) -> None:
        """Make the dropout of a pass a function of seed, step and pass, whoever computes it."""
        entropy = np.random.SeedSequence([self.args.seed, self.state.global_step, number])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def _pass(
        self, model: nn.Module, batch: RowBatch, rows: Sequence[TokenizedRow]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return each row's logit, and its parts of the loss from `step_loss`."""
        settings = self._settings
        with self.compute_loss_context_manager():
            logit, cross_entropy = model(batch)
            pointwise, sft = step_loss(
                logit,
                cross_entropy,
                batch,
                gamma_point=settings.gamma_point,
                gamma_sft=settings.gamma_sft,
            )
        finite = torch.isfinite(pointwise + sft).tolist()
        places = [row.place for row, good in zip(rows, finite, strict=True) if not good]
        if places:
            raise ModelError(
                f"step {self.state.global_step + 1}: the loss is not a finite number for "
                f"{', '.join(places[:5])}; nothing of this step was kept. Lower learning_rate, "
                "or remove these rows"
            )
        return logit, pointwise, sft

    def _shrink(self, rows: Sequence[TokenizedRow], error: Exception) -> None:
        longest = max(rows, key=lambda row: row.tokens)
        if self._gradients is None:  # the other processes are in the same pass
            raise ModelError(
                f"tokens_per_batch = {self._budget} does not fit into memory "
                f"({str(error).splitlines()[0]}), and one process alone cannot retry a pass over "
                "sharded weights. Lower tokens_per_batch; the same command resumes from the newest "
                "checkpoint"
            ) from error
        if self._budget <= longest.tokens:
            raise ModelError(
                f"{longest.place}: its {longest.tokens} tokens do not fit into memory alone "
                f"({str(error).splitlines()[0]}). Lower max_tokens, or set gradient_checkpointing"
            ) from error
        self._budget = max(self._budget // 2, longest.tokens)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Pass figures to the run; every process calls it."""
        if "loss" in logs:
            figures = self._meter.figures(self._group.gather, self._settings.rows_per_step)
            timed = figures.pop(TIMED)
            logs |= figures
            self._hooks.on_log(self.state.global_step, {**logs, TIMED: timed})
            logs |= timed
        super().log(logs, start_time)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if norm is not None and not torch.isfinite(torch.as_tensor(norm)):
            raise ModelError(
                f"step {self.state.global_step + 1}: the gradient is not finite; nothing of this "
                "step was kept. Lower learning_rate"
            )
        return norm

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save adapter or weights, if they are not sharded; every process calls it."""
        assert output_dir is not None
        if self.args.should_save and not self.is_fsdp_enabled:
            save_weights(self._forward.model, Path(output_dir))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        assert self.optimizer is not None
        save_shards(Path(output_dir), self._forward, self.optimizer, self._group)
        if self.args.should_save:
            assert self.lr_scheduler is not None
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if has_shards(Path(resume_from_checkpoint)):
            return  # loaded with the optimizer's state, when that exists
        if self.is_fsdp_enabled:
            raise ModelError(
                f"{resume_from_checkpoint}: was written without FSDP, and a run with FSDP cannot "
                "resume from it. Resume without FSDP; a checkpoint of FSDP can be resumed by both"
            )
        self._load_weights(resume_from_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not has_shards(Path(checkpoint)):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.optimizer is not None
        assert self.lr_scheduler is not None
        load_shards(Path(checkpoint), self._forward, self.optimizer, self._group)
        state = torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True)
        self.lr_scheduler.load_state_dict(state)

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

    def _save_rng_state(self, output_dir: str) -> None:
        """Save no state of random numbers: `_seed` and the plan of rows decide on all of them."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        file = checkpoint and Path(checkpoint) / _METER
        if file and file.is_file() and self._group.main:
            self._meter.restore(orjson.loads(file.read_bytes()))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        staging = Path(str(self.args.output_dir))
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        with storage_errors(self._checkpoints / name, "the checkpoint before it is whole"):
            super()._save_checkpoint(model, trial)
            digests = own_digests(staging / name, self._group.rank)
            by_rank = self._group.gather((self._meter.state(), digests))
            if self.args.should_save:
                meter = merged([state for state, _ in by_rank])
                (staging / name / _METER).write_bytes(orjson.dumps(meter))
                others = dict(ChainMap(*(files for _, files in by_rank)))
                commit_checkpoint(staging / name, self._checkpoints, self._keep, others)
        self._group.wait()  # the others would wait in the next step, where NCCL soon gives up


def _only(items: Sequence[list[TokenizedRow]]) -> list[TokenizedRow]:
    return items[0]
