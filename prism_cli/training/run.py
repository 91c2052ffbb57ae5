"""One training run: rows to a run directory, resumed from its newest complete checkpoint.

RUN/
    last/  best/        the model: adapter or weights, tokenizer, prism.json; best/ with dev rows
    recipe.toml         the resolved settings
    log.jsonl           a line each log_steps; curves.svg and speed.svg are its pictures
    manifest.json       data hashes, counts, dev figures, versions, seconds
    checkpoints/        complete ones, while the run is not finished
    tokens/             the tokenized rows, likewise
    train.rejects.jsonl lines that are no training rows, where there are any
"""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch
from transformers import set_seed

from prism_cli.configs.train import TrainConfig
from prism_cli.errors import InterruptedRunError, LimitReachedError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.four_bits import require_bitsandbytes
from prism_cli.modeling.loading import LoadedModel, load_model, resolve_device
from prism_cli.modeling.lora import add_lora, recompute_activations, train_all
from prism_cli.modeling.losses import RowForward
from prism_cli.modeling.silence_warnings import silence_transformers
from prism_cli.shards.guard import FileGuard
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import read_manifest
from prism_cli.shards.reader import find_shards
from prism_cli.training.arguments import training_arguments
from prism_cli.training.batches import Steps
from prism_cli.training.between import Enough, Hooks
from prism_cli.training.checkpoints import checkpoint_step
from prism_cli.training.data import TokenizedRows
from prism_cli.training.dev import dev_metrics, selected_by, selection_value
from prism_cli.training.journal import Journal
from prism_cli.training.plan import Plan, make_plan
from prism_cli.training.preparing import (
    prompt_encoder,
    settled,
    tell,
    tokenized_rows,
)
from prism_cli.training.publish import publish_model
from prism_cli.training.request import TrainRequest
from prism_cli.training.sharded import whole_weights
from prism_cli.training.start import Start, claim, clear_scratch, decontamination, plan_start
from prism_cli.training.team import Team
from prism_cli.training.trainer import PrismTrainer, Weights


def train(request: TrainRequest) -> dict[str, Any]:
    """Train, and return the manifest's content and `run`, the directory.

    Started by torchrun or accelerate launch, every process calls it; the first one writes.

    Raises:
        ChangedInputError: the run directory holds another run.
        LockedError, MissingDataError, ModelError, StorageError, UsageError: as they say.
        InterruptedRunError, LimitReachedError: after a checkpoint; the same command goes on.
    """
    request = settled(request)
    team = Team(on_cpu=resolve_device(request.device).type == "cpu")
    with output_lock(request.run) if team.main else nullcontext():
        content = _train(request, team)
    team.leave()
    return {"run": str(request.run), **content}


def _train(request: TrainRequest, team: Team) -> dict[str, Any]:
    config, run = request.config, request.run
    shards, dev_shards = find_shards(request.inputs), find_shards(request.dev)
    start = team.agree(lambda: plan_start(request, shards, dev_shards))
    if start.finished is not None:
        clear_scratch(run)
        request.say(f"{run}: finished before; nothing is left to do")
        return start.finished
    if config.quantize_base:
        require_bitsandbytes()
    encoder = prompt_encoder(config)
    if team.main:
        claim(request, start)
    record, folder = start.record, run / "tokens"
    manifest = record.manifest
    digests = [[one.sha256 for one in some] for some in (manifest.inputs, manifest.dependencies)]

    def tokenized() -> tuple[TokenizedRows, TokenizedRows | None]:
        return tokenized_rows(request, encoder, folder, shards, dev_shards, digests)

    def restore() -> None:
        if run.is_dir() and not record.path.exists():
            request.say(f"warning: {record.path} was removed; it is written again")
            record.write()

    def own() -> None:
        if team.main:
            restore()
            record.check_own()

    try:
        rows, dev = team.main_first(tokenized)
        request.watch.check()
        plan = make_plan(config, rows, dev, team.size, resolve_device(request.device).type)
        tell(request, plan)
        manifest.counts = rows.counts
        manifest.figures = {"plan": plan.figures, "decontamination": decontamination(shards)}
        if team.main:
            record.write()
        manifest.figures |= _Run(request, team, encoder, rows, dev, plan, own, start).work()
    except (InterruptedRunError, LimitReachedError):
        if team.main:
            restore()
            record.stopped()
        raise
    own()
    if team.main:
        record.finish(finished=True)
        clear_scratch(run)
    team.wait()
    return read_manifest(record.path) or {}


class _Run:
    def __init__(
        self,
        request: TrainRequest,
        team: Team,
        encoder: PromptEncoder,
        rows: TokenizedRows,
        dev: TokenizedRows | None,
        plan: Plan,
        own: Callable[[], None],
        start: Start,
    ) -> None:
        self._own = own  # raises LockedError where another run took the directory
        self._request = request
        self._team = team
        self._encoder = encoder
        self._rows = rows
        self._dev = dev
        self._best, self._resume = start.best, start.checkpoint
        self._guard = self._guarded()
        self._plan = plan
        self._total = plan.steps

    def work(self) -> dict[str, Any]:
        """Steps from the checkpoint, if there is one, to the last; the figures of the run."""
        request, config, total = self._request, self._request.config, self._total
        resume = self._resume
        first = checkpoint_step(resume) if resume else 0
        self._journal = Journal(request.run, first) if self._team.main else None
        if resume:
            request.say(f"going on from step {first} of {total}")
        arguments = training_arguments(request, total)
        set_seed(config.seed)
        loaded = load_model(
            config.model,
            device=str(arguments.device),
            dtype=config.dtype,
            profile=config.profile,
            four_bits=config.quantize_base is not None,
        )
        self._forward = RowForward(
            _trainable(loaded, config), self._encoder.yes_id, self._encoder.no_id
        )
        count = total * config.rows_per_step
        steps = Steps(
            self._rows,
            self._plan.draws,
            config.rows_per_step,
            arguments.process_index,
            arguments.world_size,
        )
        weights = Weights(
            config.gamma_point, config.gamma_sft, config.rows_per_step, config.tokens_per_batch
        )
        with request.show(f"train {request.run.name}", count) as bar:

            def on_step(step: int) -> None:
                self._own()
                bar.advance(config.rows_per_step, 0.0)
                if step == total or step % config.dev_steps == 0:
                    self._measure(step)

            bar.skip(first * config.rows_per_step)
            trainer = PrismTrainer(
                self._forward,
                arguments,
                steps,
                weights,
                Hooks(
                    on_resume=self._measure_what_was_cut_short,
                    on_step=on_step,
                    stopping=lambda: self._team.any(request.watch.stopping),
                    enough=self._enough,
                    on_log=self._note,
                ),
                request.run / "checkpoints",
                config.keep_checkpoints,
            )
            with suppress(Enough), silence_transformers():
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        if self._journal:
            self._journal.draw()
        done = trainer.state.global_step
        if done < total and not self._enough():
            request.watch.check()
            raise InterruptedRunError(SIGTERM)  # the signal came to another process
        self._publish("last")
        figures: dict[str, Any] = {
            "steps": done,
            "draws": done * config.rows_per_step,
            "base": loaded.fingerprint,
        }
        dev = self._journal.dev_at(done) if self._journal else None
        if dev:
            figures |= {"dev": dev, "best": self._best, "best_by": selected_by(dev, config.select)}
        if done < total:
            figures["stopped_early"] = True
            figures["stopped_by"] = self._why_enough()
        return figures

    def _enough(self) -> bool:
        """Whether the run ends before its last step."""
        config = self._request.config
        if self._best is None or config.patience is config.stop_at_collapse is None:
            return False
        return self._team.agree(lambda: self._why_enough() is not None)

    def _why_enough(self) -> str | None:
        """The setting by which the run ends: `patience` measurements since the best one were no
        better, or the last `stop_at_collapse` told of a collapse."""
        config, best, journal = self._request.config, self._best, self._journal
        if journal is None or best is None:
            return None
        most = config.stop_at_collapse
        if most is not None and journal.collapsed_in_a_row() >= most:
            return "stop_at_collapse"
        if config.patience is not None and journal.measured_after(best["step"]) >= config.patience:
            return "patience"
        return None

    def _note(self, step: int, figures: dict[str, Any]) -> None:
        if self._journal:
            self._journal.add(step, figures)

    def _measure_what_was_cut_short(self, step: int) -> None:
        """A signal may have ended the measurement that belongs to the checkpoint."""
        due = step == self._total or step % self._request.config.dev_steps == 0
        journal = self._journal
        if due and self._team.agree(lambda: journal is None or journal.dev_at(step) is None):
            self._measure(step)

    def _measure(self, step: int) -> None:
        """Figures of the dev rows; every process computes them, for sharded weights need all."""
        if self._dev is None:
            return
        config, watch = self._request.config, self._request.watch
        device = next(self._forward.parameters()).device

        def stopping() -> bool:
            return self._team.any(watch.stopping)

        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.dtype == "bfloat16"):
            metrics = dev_metrics(
                self._forward, self._dev, config.tokens_per_batch, device, stopping
            )
        if metrics is None:
            return
        if "collapsed" in metrics and step != self._total:  # the end tells of the last ones
            self._request.say(f"warning: step {step}: {metrics['collapsed']}")
        select = config.select
        if self._best is None and (name := selected_by(metrics, select)) != select:
            self._request.say(f'select = "{select}": the dev rows cannot give it; {name} decides')
        if self._best is None or (
            selection_value(metrics, select) > selection_value(self._best, select)
        ):
            self._best = {"step": step, **metrics}
            self._publish("best", self._best)
        self._note(step, metrics)

    def _publish(self, name: str, figures: dict[str, Any] | None = None) -> None:
        whole = whole_weights(self._forward)
        self._own()
        if not self._team.main:
            return
        self._guard.check("Move it away: the same command goes on from the newest checkpoint")
        config = self._request.config
        base = _absolute(config.model) if config.method == "lora" else None
        publish_model(
            self._request.run,
            name,
            self._forward.model,
            self._encoder.tokenizer,
            self._encoder.profile,
            base,
            figures,
            whole,
        )
        self._guard = self._guarded()

    def _guarded(self) -> FileGuard:
        """The models of the run as they are, which nobody else is to replace."""
        return FileGuard([self._request.run / name for name in ("best", "last")])


def _trainable(loaded: LoadedModel, config: TrainConfig) -> torch.nn.Module:
    if config.method == "full":
        model = train_all(loaded.model)
    else:
        model = add_lora(loaded.model, **asdict(config.lora))
    if config.gradient_checkpointing:
        recompute_activations(loaded.model)
    return model


def _absolute(spec: str) -> str:
    """A spec that means the same from every working directory."""
    path = Path(spec.removeprefix("hf:")).expanduser()
    return str(path.resolve()) if path.is_dir() and spec != "hf:smollm2" else spec
