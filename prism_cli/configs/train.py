"""Settings of `prism train`. The defaults are the published 2B run (arXiv 2604.23734)."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Interval, Len

from prism_cli.configs.base import BeforeValidation, Option, Section, StageConfig
from prism_cli.configs.shared import as_list, as_names
from prism_cli.domain.defaults import GAMMA_POINT, GAMMA_SFT, MAX_TRAINING_TOKENS

ATTENTION_AND_MLP = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip
LINEAR_ATTENTION = ("in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj")

Select = Literal["auc", "score_mse", "target_loss", "nDCG@10", "verdict_accuracy"]
Dtype = Literal["fast", "bfloat16", "float32"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
SELECTABLE: tuple[Select, ...] = get_args(Select)


def _key(help: str) -> Option:
    """Description of a setting that only recipes and --set can change."""
    return Option(help, hidden=True)


@dataclass(frozen=True, kw_only=True)
class LoraSection(Section):
    """Low-rank adapters (peft)."""

    r: Annotated[int, Ge(1), _key("Rank.")] = 64
    alpha: Annotated[
        int, Ge(1), _key("Scale: updates are multiplied by alpha / r; see use_rslora.")
    ] = 128
    dropout: Annotated[
        float, Interval(ge=0, lt=1), _key("Dropout before the adapters, in [0, 1).")
    ] = 0.0
    target_modules: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Len(1),
        _key("Linear layers that get an adapter; names that the model lacks are skipped."),
    ] = ATTENTION_AND_MLP + LINEAR_ATTENTION
    first_layer: Annotated[
        int,
        Ge(0),
        _key(
            "Decoder layers below this one get no adapter: no gradient is computed through them, "
            "which saves time and memory."
        ),
    ] = 0
    use_dora: Annotated[
        bool,
        _key(
            "DoRA (arXiv 2402.09353): train the weights' magnitudes beside the adapters, which "
            "takes more time and memory."
        ),
    ] = False
    use_rslora: Annotated[
        bool, _key("rsLoRA (arXiv 2312.03732): updates are multiplied by alpha / sqrt(r).")
    ] = False


@dataclass(frozen=True, kw_only=True)
class TrainConfig(StageConfig):
    """Settings that determine the trained weights, and `report_to`."""

    model: Annotated[
        str,
        Option(
            "Base model: hub id, PATH or hf:smollm2. An adapter, such as hf:prism-tiny, is trained "
            "further, with its own rank and layers.",
            default="the recipe's",
        ),
    ] = "Qwen/Qwen3.5-2B"
    profile: Annotated[
        str | None,
        Option("Prompt profile.", hidden=True, default="by the model"),
    ] = None
    method: Annotated[Literal["lora", "full"], _key("Train adapters, or all weights.")] = "lora"
    mixture: Annotated[
        Literal["sft", "mixed"],
        _key("sft: rows with objective sft. mixed: draws from both pools."),
    ] = "sft"
    sft_ratio: Annotated[
        float,
        Interval(gt=0, lt=1),
        _key("mixed: probability that a draw is from the sft pool."),
    ] = 0.3
    gamma_point: Annotated[float, Ge(0), _key("Weight of the squared score error.")] = GAMMA_POINT
    gamma_sft: Annotated[float, Ge(0), _key("Weight of the target's cross-entropy.")] = GAMMA_SFT
    epochs: Annotated[
        float,
        Gt(0),
        Option("Largest number of epochs; 0.5 is half of one.", default="the recipe's"),
    ] = 2.0
    max_steps: Annotated[
        int | None,
        Ge(1),
        Option("Stop after N optimizer steps, unless the epochs end first: --epochs."),
    ] = None
    rows_per_step: Annotated[int, Ge(1), _key("Rows of one optimizer step.")] = 16
    tokens_per_batch: Annotated[
        int, Ge(1), _key("Padded tokens that go through the model together.")
    ] = 16_384
    max_tokens: Annotated[int, Ge(32), _key("Longest prompt; longer documents are cut.")] = (
        MAX_TRAINING_TOKENS
    )
    learning_rate: Annotated[float, Gt(0), _key("Peak learning rate of AdamW.")] = 1e-5
    schedule: Annotated[
        Literal["cosine", "linear", "constant"],
        _key("Shape of the learning rate after the warmup."),
    ] = "cosine"
    warmup_steps: Annotated[int, Ge(0), _key("Steps of linear warmup.")] = 1_000
    warmup_ratio: Annotated[
        float | None,
        Interval(ge=0, lt=1),
        _key("Warmup as a share of all steps; overrides warmup_steps."),
    ] = None
    weight_decay: Annotated[float, Ge(0), _key("Decoupled weight decay.")] = 0.01
    gradient_clip: Annotated[float, Gt(0), _key("Largest norm of the gradient.")] = 1.0
    gradient_checkpointing: Annotated[
        bool,
        _key("Less memory, about a third more time: activations are computed twice."),
    ] = True
    dtype: Annotated[
        Dtype,
        _key(
            "bfloat16: frozen weights and matrix products; float32: all; fast: bfloat16 where the "
            "processor has instructions for it."
        ),
    ] = "bfloat16"
    quantize_base: Annotated[
        Literal["nf4"] | None,
        _key(
            "nf4: frozen weights in 4 bits (QLoRA, arXiv 2305.14314), with the extra train4bit. "
            "The adapter is used, merged and exported on the base's full weights."
        ),
    ] = None
    attn: Annotated[
        Literal["sdpa", "varlen"],
        _key(
            "Attention: sdpa, or on CUDA in bfloat16 varlen, torch's kernels for rows of different "
            "lengths, without padding and masks."
        ),
    ] = "sdpa"
    save_steps: Annotated[int, Ge(1), _key("Steps between checkpoints.")] = 500
    keep_checkpoints: Annotated[int, Ge(1), _key("Complete checkpoints that are kept.")] = 2
    log_steps: Annotated[int, Ge(1), _key("Steps between lines of log.jsonl.")] = 10
    dev_steps: Annotated[int, Ge(1), _key("Steps between measurements on the dev rows.")] = 500
    select: Annotated[
        Select,
        _key(
            "Figure on the dev rows by which RUN/best is chosen; one that they lack falls back to "
            f"the first available of {', '.join(SELECTABLE)}."
        ),
    ] = "auc"
    patience: Annotated[
        int | None, Ge(1), _key("Stop after N consecutive measurements without a new best.")
    ] = None
    stop_at_collapse: Annotated[
        int | None,
        Ge(1),
        Option(
            "Stop after N consecutive measurements at which the model has collapsed (the same "
            "score for all dev rows, or a ranking no better than chance).",
            hidden=True,
            default="only warn",
        ),
    ] = None
    report_to: Annotated[
        tuple[Tracker, ...],
        BeforeValidation(as_names),
        Option(
            "Experiment trackers that get the figures beside log.jsonl: tensorboard, wandb, "
            "mlflow, trackio; separated by commas. Each needs the extra of its name.",
            comma_separated=True,
            default="none",
        ),
    ] = ()
    lora: LoraSection = LoraSection()

    def __post_init__(self) -> None:
        if not (self.gamma_point or self.gamma_sft):
            raise ValueError(
                "gamma_point and gamma_sft: both are 0, so nothing is trained; raise one"
            )
        if self.quantize_base and self.method == "full":
            raise ValueError('quantize_base: weights in 4 bits cannot be trained; method = "lora"')
