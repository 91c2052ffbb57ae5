"""TrainingArguments for transformers' Trainer, from prism's settings."""

from math import ceil

from transformers import TrainingArguments

from prism_cli.configs.train import TrainConfig
from prism_cli.modeling.loading import resolve_device
from prism_cli.training.request import TrainRequest


def training_arguments(request: TrainRequest, steps: int) -> TrainingArguments:
    """Return the arguments of a run of `steps` optimizer steps; output_dir is a staging folder."""
    config = request.config
    schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    arguments = TrainingArguments(
        output_dir=str(request.run / ".staging"),
        per_device_train_batch_size=1,
        max_steps=steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=warmup_steps(config, steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.gradient_clip,
        bf16=config.dtype == "bfloat16",
        use_cpu=resolve_device(request.device).type == "cpu",
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
        ddp_broadcast_buffers=False,
    )
    if arguments.n_gpu > 1:  # else one process would split rows over all GPUs (DataParallel)
        arguments._n_gpu = 1
    return arguments


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """Return the number of linear warmup steps in a run of `steps`."""
    if config.warmup_ratio is not None:
        return ceil(config.warmup_ratio * steps)
    return config.warmup_steps
