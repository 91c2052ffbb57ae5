"""One training run: rows to a run directory, resumed from its newest complete checkpoint.

RUN/
    last/  best/        the model: adapter or weights, tokenizer, prism.json; best/ with dev rows
    recipe.toml         the resolved settings
    log.jsonl           a line each log_steps; curves.svg is its picture
    manifest.json       data hashes, counts, dev figures, versions, seconds
    checkpoints/        complete ones, while the run is not finished
    train.rejects.jsonl lines that are no training rows, where there are any
"""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import orjson
import tomlkit
import torch
from transformers import TrainingArguments, set_seed

from prism_cli.configs.train import TrainConfig
from prism_cli.domain.mixture import draw_rows, epoch_draws
from prism_cli.errors import ModelError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.loading import LoadedModel, load_encoder, load_model, model_path
from prism_cli.modeling.lora import add_lora, train_all
from prism_cli.modeling.losses import RowForward
from prism_cli.modeling.model_dir import write_profile
from prism_cli.shards.lock import output_lock
from prism_cli.shards.manifest import InputRecord, Manifest, is_finished, read_manifest
from prism_cli.shards.reader import find_shards, measure
from prism_cli.shards.writer import sync_directory, whole_file
from prism_cli.training.batches import Steps
from prism_cli.training.checkpoints import checkpoint_step, newest_complete
from prism_cli.training.data import TokenizedRows, tokenize
from prism_cli.training.dev import dev_metrics, selection_value
from prism_cli.training.journal import Journal
from prism_cli.training.trainer import Hooks, PrismTrainer, Weights


class Watch(Protocol):
    """Signals and limits, asked between steps."""

    @property
    def stopping(self) -> bool:
        """Whether nothing new may start."""

    def check(self) -> None:
        """Raise what stops the run, if anything does."""


class Bar(Protocol):
    """A progress that counts rows."""

    def advance(self, rows: int, usd: float) -> None:
        """`rows` more are through."""


@dataclass(frozen=True)
class TrainRequest:
    """What is trained, on what, into where.

    Attributes:
        inputs, dev: files, globs or directories of rows; dev may be empty.
        run: the run directory.
        say: tells the person at the terminal one line.
        show: label and total rows -> a progress for the block.
    """

    config: TrainConfig
    inputs: Sequence[str]
    run: Path
    watch: Watch
    say: Callable[[str], None]
    show: Callable[[str, int], AbstractContextManager[Bar]]
    dev: Sequence[str] = ()
    fields: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    device: str = "auto"
    overwrite: bool = False


def train(request: TrainRequest) -> dict[str, Any]:
    """Train, and return the manifest's content.

    Raises:
        ChangedInputError: the run directory holds another run.
        LockedError, MissingDataError, ModelError, StorageError: as they say.
        InterruptedRunError, LimitReachedError: after a checkpoint; the same command goes on.
    """
    config, run = request.config, request.run
    with output_lock(run):
        manifest, finished = _manifest(request)
        if finished is not None:
            return finished
        encoder = load_encoder(config.model, config.max_tokens, profile=config.profile)
        _refuse_adapter(config.model)
        started = time.monotonic()
        run.mkdir(parents=True, exist_ok=True)
        manifest.write(run / "manifest.json")
        _write_recipe(config, run)
        folder = run / "tokens"
        rows = tokenize(request.inputs, encoder, folder, fields=request.fields, limit=request.limit)
        dev = None
        if request.dev:
            dev = tokenize(request.dev, encoder, folder, fields=request.fields, name="dev")
        request.watch.check()
        figures = _Run(request, encoder, rows, dev).work()
        manifest.counts = rows.counts
        manifest.figures = figures
        manifest.seconds = round(manifest.seconds + time.monotonic() - started, 3)
        manifest.finished = True
        manifest.write(run / "manifest.json")
        for scratch in ("checkpoints", "tokens", ".staging"):
            shutil.rmtree(run / scratch, ignore_errors=True)
    return _summary(request, read_manifest(run / "manifest.json") or {})


class _Run:
    def __init__(
        self,
        request: TrainRequest,
        encoder: PromptEncoder,
        rows: TokenizedRows,
        dev: TokenizedRows | None,
    ) -> None:
        self._request = request
        self._encoder = encoder
        self._rows = rows
        self._dev = dev
        self._best: dict[str, float] | None = _best_so_far(request.run)
        self._figures: dict[str, Any] = {}

    def work(self) -> dict[str, Any]:
        """Steps from the newest complete checkpoint to the last; the figures of the run."""
        request, config = self._request, self._request.config
        steps_total = self._steps()
        checkpoints = request.run / "checkpoints"
        resume = newest_complete(checkpoints)
        first = checkpoint_step(resume) if resume else 0
        self._journal = Journal(request.run, first)
        if resume:
            request.say(f"going on from step {first} of {steps_total}")
        set_seed(config.seed)
        self._loaded = load_model(
            config.model, device=request.device, dtype=config.dtype, profile=config.profile
        )
        self._forward = RowForward(
            _trainable(self._loaded, config), self._encoder.yes_id, self._encoder.no_id
        )
        arguments = _arguments(request, steps_total)
        draws = draw_rows(
            self._rows.pools,
            config.sft_ratio,
            config.mixture,
            config.seed,
            steps_total * config.rows_per_step,
        )
        steps = Steps(
            self._rows, draws, config.rows_per_step, arguments.process_index, arguments.world_size
        )
        with request.show(f"train {request.run.name}", len(draws.rows)) as bar:
            bar.advance(first * config.rows_per_step, 0.0)
            trainer = PrismTrainer(
                self._forward,
                arguments,
                steps,
                Weights(
                    config.gamma_point,
                    config.gamma_sft,
                    config.rows_per_step,
                    config.tokens_per_batch,
                ),
                Hooks(
                    stopping=lambda: request.watch.stopping,
                    on_step=lambda _: bar.advance(config.rows_per_step, 0.0),
                    on_log=self._journal.add,
                    on_dev=self._measure if self._dev else None,
                    dev_steps=config.dev_steps,
                ),
                checkpoints,
                config.keep_checkpoints,
            )
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        self._journal.draw()
        if trainer.state.global_step < steps_total:
            request.watch.check()
        self._publish("last")
        self._figures["steps"] = steps_total
        self._figures["draws"] = len(draws.rows)
        if self._best is not None:
            self._figures["best"] = self._best
        return self._figures

    def _steps(self) -> int:
        config, pools = self._request.config, self._rows.pools
        if not len(pools.sft) or not len(pools.pointwise):
            kind = "sft" if len(pools.sft) else "pointwise"
            if config.mixture == "mixed" or kind == "pointwise":
                self._request.say(
                    f"all usable rows have the {kind} objective alone: mixture = "
                    f'"{config.mixture}" and sft_ratio are void'
                )
        draws = epoch_draws(pools, config.sft_ratio, config.mixture) * config.epochs
        steps = max(1, ceil(draws / config.rows_per_step))
        if config.max_steps is not None:
            steps = min(steps, config.max_steps)
        if config.warmup_ratio is None and config.warmup_steps >= steps:
            self._request.say(
                f"warmup_steps = {config.warmup_steps} is not less than the {steps} steps of this "
                "run: the learning rate never reaches its peak. Set warmup_steps or warmup_ratio"
            )
        return steps

    def _measure(self, step: int) -> None:
        assert self._dev is not None
        config = self._request.config
        device = next(self._forward.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.dtype == "bfloat16"):
            metrics = dev_metrics(self._forward, self._dev, config.tokens_per_batch, device)
        self._journal.add(step, metrics)
        self._figures["dev"] = metrics
        if self._best is None or selection_value(metrics) > selection_value(self._best):
            self._best = {"step": step, **metrics}
            self._publish("best", self._best)

    def _publish(self, name: str, metrics: dict[str, float] | None = None) -> None:
        """The model as it is now as RUN/NAME, whole."""
        request = self._request
        part, final = request.run / f".{name}.part", request.run / name
        shutil.rmtree(part, ignore_errors=True)
        model: Any = self._forward.model
        model.save_pretrained(part)
        self._encoder.tokenizer.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)  # peft's empty model card
        base = _absolute(request.config.model) if request.config.method == "lora" else None
        write_profile(part, self._encoder.profile, base)
        if metrics is not None:
            (part / "dev.json").write_bytes(orjson.dumps(metrics))
        if final.exists():
            old = request.run / f".{name}.old"
            shutil.rmtree(old, ignore_errors=True)
            final.replace(old)
            part.replace(final)
            shutil.rmtree(old)
        else:
            part.replace(final)
        sync_directory(request.run)


def _trainable(loaded: LoadedModel, config: TrainConfig) -> torch.nn.Module:
    if config.method == "full":
        model = train_all(loaded.model)
    else:
        lora = config.lora
        model = add_lora(loaded.model, lora.r, lora.alpha, lora.dropout, lora.target_modules)
    if config.gradient_checkpointing:
        causal: Any = loaded.model
        causal.gradient_checkpointing_enable({"use_reentrant": False})
        causal.enable_input_require_grads()
    return model


def _arguments(request: TrainRequest, steps: int) -> TrainingArguments:
    config = request.config
    warmup = (
        ceil(config.warmup_ratio * steps)
        if config.warmup_ratio is not None
        else config.warmup_steps
    )
    schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    on_cpu = request.device == "cpu" or not torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(request.run / ".staging"),
        per_device_train_batch_size=1,
        max_steps=steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.gradient_clip,
        bf16=config.dtype == "bfloat16",
        use_cpu=on_cpu,
        seed=config.seed,
        logging_steps=config.log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=config.save_steps,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
    )


def _manifest(request: TrainRequest) -> tuple[Manifest, dict[str, Any] | None]:
    """The papers of this run, and its summary where it is finished already."""
    run = request.run
    records, dev = _records(request.inputs), _records(request.dev)
    config = request.config.model_dump(mode="json")
    manifest = Manifest(
        "train", {**config, "limit": request.limit, "fields": request.fields}, records, dev
    )
    previous = read_manifest(run / "manifest.json")
    if request.overwrite:
        for old in ("best", "last", "checkpoints", "tokens", ".staging"):
            shutil.rmtree(run / old, ignore_errors=True)
        (run / "manifest.json").unlink(missing_ok=True)
    elif run.is_dir() and (previous or any(run.iterdir())):
        if is_finished(run, previous, manifest, lambda _path, _size: ""):
            return manifest, _summary(request, previous or {})
        manifest.attempts = (previous or {}).get("attempts", 0) + 1
        manifest.seconds = (previous or {}).get("seconds", 0.0)
    return manifest, None


def _records(inputs: Sequence[str]) -> list[InputRecord]:
    shards = find_shards(inputs) if inputs else []
    found = [(shard.name, measure(shard.path)) for shard in shards]
    return [InputRecord(name, one.bytes, one.sha256) for name, one in found]


def _summary(request: TrainRequest, content: dict[str, Any]) -> dict[str, Any]:
    return {"run": str(request.run), **content}


def _refuse_adapter(spec: str) -> None:
    if (model_path(spec, weights=False) / "adapter_config.json").is_file():
        raise ModelError(
            f"model {spec}: an adapter; expected a whole model to train on. Merge it into its base "
            "first"
        )


def _best_so_far(run: Path) -> dict[str, float] | None:
    path = run / "best" / "dev.json"
    best: dict[str, float] | None = orjson.loads(path.read_bytes()) if path.is_file() else None
    return best


def _absolute(spec: str) -> str:
    """A spec that means the same from every working directory."""
    path = Path(spec.removeprefix("hf:")).expanduser()
    return str(path.resolve()) if path.is_dir() else spec


def _write_recipe(config: TrainConfig, run: Path) -> None:
    content = config.model_dump(mode="json", exclude_none=True)
    with whole_file(run / "recipe.toml") as file:
        file.write(b"# The resolved settings of this run: prism train --recipe recipe.toml\n")
        file.write(tomlkit.dumps(content).encode())
