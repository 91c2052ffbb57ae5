"""A training run: rows to a run directory, resumed from its newest complete checkpoint.

RUN/
    last/  best/        the model: adapter or weights, tokenizer, prism.json; best/ with dev rows
    recipe.toml         the resolved settings
    tensorboard/ and so on, trackers.json   with `report_to`
    log.jsonl           a line each log_steps; curves.svg and speed.svg are its charts
    manifest.json       data hashes, counts, dev figures, versions, seconds
    checkpoints/        complete checkpoints, until the run is finished
    tokens/             tokenized rows, until the run is finished
    train.rejects.jsonl rejected rows, if there are any
"""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from signal import SIGTERM
from typing import Any

from transformers import TrainingArguments, set_seed

from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.errors import InterruptedRunError, LimitReachedError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.four_bits import require_bitsandbytes
from prism_cli.modeling.loading import load_model, resolve_device
from prism_cli.modeling.losses import RowForward
from prism_cli.modeling.model_folder import ModelFolder
from prism_cli.modeling.model_path import lasting_spec
from prism_cli.modeling.silence_warnings import silence_transformers
from prism_cli.shards.file_guard import FileGuard
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.reader import find_shards
from prism_cli.training.arguments import training_arguments
from prism_cli.training.batches import StepDataset
from prism_cli.training.callbacks import NothingLeft, StepHooks
from prism_cli.training.checkpoints import checkpoint_step
from prism_cli.training.data import TokenizedRows
from prism_cli.training.dev import selected_by
from prism_cli.training.journal import Journal
from prism_cli.training.nodes import check_nodes, require_equal, require_shared_folder
from prism_cli.training.plan import Plan, make_plan
from prism_cli.training.preparing import (
    base_model,
    show_plan,
    tokenized_rows,
    trainable,
    with_resolved_dtype,
)
from prism_cli.training.process_group import ProcessGroup, noticing_lost_processes
from prism_cli.training.publish import publish_model
from prism_cli.training.request import TrainRequest
from prism_cli.training.selection import DevSelection
from prism_cli.training.sharded_weights import full_state_dict
from prism_cli.training.start import (
    Start,
    claim,
    clear_scratch,
    decontamination,
    note_base,
    plan_start,
    recorded_settings,
    require_same_base,
)
from prism_cli.training.trackers import open_trackers, require_trackers
from prism_cli.training.trainer import PrismTrainer, StepSettings

LEAST_WINDOW = 1024
"""A model states the longest prompt of its training as its window, or this many tokens."""


def train(request: TrainRequest) -> dict[str, Any]:
    """Train; return the content of the manifest, and the directory as `run`.

    With torchrun or accelerate launch, every process calls it; the main process writes.

    Raises:
        ChangedInputError: the run directory has another run.
        LockedError, MissingDataError, ModelError, StorageError, UsageError: see there.
        InterruptedRunError, LimitReachedError: after a checkpoint; the same command resumes.
    """
    request = with_resolved_dtype(request)
    group = ProcessGroup.of(request.device)
    with noticing_lost_processes(), ExitStack() as locks:
        if_main = output_lock(request.run) if group.main else nullcontext()
        group.together(lambda: locks.enter_context(if_main))
        content = _train(request, group)
    group.leave()
    return {"run": str(request.run), **content}


def _train(request: TrainRequest, group: ProcessGroup) -> dict[str, Any]:
    config, run = request.config, request.run
    shards, dev_shards = group.together(
        lambda: (find_shards(request.inputs), find_shards(request.dev))
    )
    start = group.broadcast_from_main(lambda: plan_start(request, shards, dev_shards))
    check_nodes(group, recorded_settings(request), [*shards, *dev_shards], start.record)
    if start.finished is not None:
        if group.main:
            clear_scratch(run)
        request.say(f"{run}: finished before; nothing is left to do")
        return start.finished

    def prepared() -> tuple[ModelFolder, PromptEncoder]:
        if config.quantize_base:
            require_bitsandbytes()
        require_trackers(config.report_to)
        return base_model(config)

    base, encoder = group.together(prepared)

    def claimed() -> None:
        if group.main:
            if start.checkpoint is not None:
                require_same_base(run, base.fingerprint)
            claim(request, start)

    group.together(claimed)
    require_shared_folder(group, start.record)
    record, folder = start.record, run / "tokens"
    manifest = record.manifest
    digests = [
        [file.sha256 for file in files] for files in (manifest.inputs, manifest.dependencies)
    ]

    def tokenized() -> tuple[TokenizedRows, TokenizedRows | None]:
        return tokenized_rows(
            request, encoder, folder, shards, dev_shards, digests, writes=group.main
        )

    def restore() -> None:
        if run.is_dir() and not record.path.exists():
            request.say(f"warning: {record.path} was removed; it is written again")
            record.write()

    def check_owner() -> None:
        if group.main:
            restore()
            record.check_own()

    try:
        rows, dev = group.main_first(tokenized)
        request.watch.check()
        device = resolve_device(request.device).type
        plan = make_plan(config, base, rows, dev, group.size, device)
        show_plan(request, plan)
        manifest.counts = rows.counts
        manifest.figures = {
            "plan": plan.figures,
            "decontamination": decontamination(shards),
            "base_spec": lasting_spec(base.base_spec or config.model),
        }
        if group.main:
            record.write()
        manifest.figures |= _Run(
            request, group, base, encoder, rows, dev, plan, check_owner, start
        ).work()
    except (InterruptedRunError, LimitReachedError):
        if group.main:
            restore()
            record.stopped()
        raise
    check_owner()
    if group.main:
        record.finish(finished=True)
        clear_scratch(run)
    group.wait()
    return read_manifest(record.path) or {}


@dataclass
class _Run:
    """The steps of a run.

    Attributes:
        check_owner: raises LockedError if another run took the directory.
    """

    request: TrainRequest
    group: ProcessGroup
    base: ModelFolder
    encoder: PromptEncoder
    rows: TokenizedRows
    dev: TokenizedRows | None
    plan: Plan
    check_owner: Callable[[], None]
    start: Start

    def work(self) -> dict[str, Any]:
        """Train from the checkpoint, if there is one, to the last step; return the figures."""
        request, total, resume = self.request, self.plan.steps, self.start.checkpoint
        first = checkpoint_step(resume) if resume else 0
        self._guard = self._guarded()
        if resume:
            request.say(f"going on from step {first} of {total}")
        arguments = training_arguments(request, total)
        with open_trackers(request, first) if self.group.main else nullcontext() as trackers:
            journal = Journal(request.run, first, trackers.log) if trackers else None
            return self._steps(arguments, first, journal)

    def _steps(
        self, arguments: TrainingArguments, first: int, journal: Journal | None
    ) -> dict[str, Any]:
        request, config, total = self.request, self.request.config, self.plan.steps
        resume = self.start.checkpoint
        set_seed(config.seed)
        loaded = load_model(
            self.base.base,
            device=str(arguments.device),
            dtype=config.dtype,
            profile=config.profile,
            attn=config.attn,
            four_bits=config.quantize_base is not None,
        )
        require_equal(
            self.group,
            [(f"model {config.model}", f"sha256 {self.base.fingerprint}")],
            "Use the same model on each node, or one in a folder that all nodes share",
        )

        def noted() -> None:
            if self.group.main:
                note_base(request.run, self.base.fingerprint)

        self.group.together(noted)
        self._forward = RowForward(
            trainable(loaded.model, config, self.base.adapter),
            self.encoder.yes_id,
            self.encoder.no_id,
        )
        selection = DevSelection(
            request,
            self.group,
            self._forward,
            self.dev,
            total,
            journal,
            self.start.best,
            partial(self._publish, "best"),
        )
        steps = StepDataset(self.rows, self.plan.draws, config.rows_per_step)
        settings = StepSettings(
            config.gamma_point, config.gamma_sft, config.rows_per_step, config.tokens_per_batch
        )
        with request.show(f"train {request.run.name}", total * config.rows_per_step) as bar:

            def on_step(step: int) -> None:
                self.check_owner()
                bar.advance(config.rows_per_step, 0.0)
                selection.after_step(step)

            def on_log(step: int, figures: dict[str, Any]) -> None:
                if journal:
                    journal.add(step, figures)

            bar.skip(first * config.rows_per_step)
            trainer = PrismTrainer(
                self.group,
                self._forward,
                arguments,
                steps,
                settings,
                StepHooks(
                    on_resume=selection.on_resume,
                    on_step=on_step,
                    stop_requested=lambda: self.group.any_rank(request.watch.stopping),
                    ends_early=selection.ends_early,
                    on_log=on_log,
                ),
                request.run / "checkpoints",
                config.keep_checkpoints,
            )
            with suppress(NothingLeft), silence_transformers():
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        if journal:
            journal.draw()
        done = trainer.state.global_step

        def measured() -> bool:
            return self.dev is None or bool(journal and journal.dev_at(done))

        last = done == total
        if not (self.group.broadcast_from_main(measured) if last else selection.ends_early()):
            request.watch.check()
            raise InterruptedRunError(SIGTERM)  # the signal came to another process
        self._publish("last")
        figures: dict[str, Any] = {
            "steps": done,
            "draws": done * config.rows_per_step,
            "base": self.base.fingerprint,
        }
        if journal and (dev := journal.dev_at(done)):
            by = selected_by(dev, config.select)
            figures |= {"dev": dev, "best": selection.best, "best_by": by}
        if done < total:
            figures["stopped_early"] = True
            figures["stopped_by"] = selection.early_stopping_setting()
        return figures

    def _publish(self, name: str, figures: dict[str, Any] | None = None) -> None:
        state_dict = full_state_dict(self._forward)
        self.check_owner()
        if not self.group.main:
            return
        self._guard.check("Move it away: the same command resumes from the newest checkpoint")
        config = self.request.config
        base = self.base.base_spec or config.model
        publish_model(
            self.request.run,
            name,
            self._forward.model,
            self.encoder.tokenizer,
            self.encoder.profile,
            lasting_spec(base) if config.method == "lora" else None,
            figures,
            state_dict,
            ModelDefaults(
                max(LEAST_WINDOW, int(self.rows.lengths("prompt").max())),
                self.base.defaults.evidence_from,  # but not the weight of a fusion: scores change
            ),
        )
        self._guard = self._guarded()

    def _guarded(self) -> FileGuard:
        """Return a guard of the run's models, which no other process may replace."""
        return FileGuard([self.request.run / name for name in ("best", "last")])
