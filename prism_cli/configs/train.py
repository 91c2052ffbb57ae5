"""Settings of `prism train`. The defaults are the published 2B run (arXiv 2604.23734)."""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from prism_cli.configs.base import Section, StageConfig

ATTENTION_AND_MLP = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
)  # fmt: skip
LINEAR_ATTENTION = ("in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj")

Select = Literal["auc", "score_mse", "target_loss", "nDCG@10", "verdict_accuracy"]
SELECTABLE: tuple[Select, ...] = get_args(Select)


class LoraSection(Section):
    """Low-rank adapters (peft)."""

    r: int = Field(default=64, ge=1, description="Rank.")
    alpha: int = Field(
        default=128, ge=1, description="Scale: updates are multiplied by alpha / r; see use_rslora."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout in front of the adapters, 0 to 1."
    )
    target_modules: tuple[str, ...] = Field(
        default=ATTENTION_AND_MLP + LINEAR_ATTENTION,
        min_length=1,
        description="Linear layers that get an adapter; names the model lacks are passed over.",
    )
    first_layer: int = Field(
        default=0,
        ge=0,
        description="Decoder layers below this one get no adapter: nothing is computed back "
        "through them, which takes less time and memory.",
    )
    use_dora: bool = Field(
        default=False,
        description="DoRA (arXiv 2402.09353): the weights' magnitudes are trained beside the "
        "adapters, which takes more time and memory.",
    )
    use_rslora: bool = Field(
        default=False,
        description="rsLoRA (arXiv 2312.03732): updates are multiplied by alpha / sqrt(r).",
    )


class TrainConfig(StageConfig):
    """What decides the weights that come out."""

    model: str = Field("Qwen/Qwen3.5-2B", description="Base model: hub id, PATH or hf:smollm2.")
    profile: str | None = Field(None, description="Prompt profile; default by the model.")
    method: Literal["lora", "full"] = Field("lora", description="Adapters, or all weights.")
    mixture: Literal["sft", "mixed"] = Field(
        "sft", description="sft: rows with objective sft. mixed: draws from both pools."
    )
    sft_ratio: float = Field(
        0.3, gt=0, lt=1, description="mixed: probability that a draw is from the sft pool."
    )
    gamma_point: float = Field(10.0, ge=0, description="Weight of the squared score error.")
    gamma_sft: float = Field(1.0, ge=0, description="Weight of the target's cross-entropy.")
    epochs: float = Field(2.0, gt=0, description="Epochs at the most; see max_steps.")
    max_steps: int | None = Field(
        None, ge=1, description="Steps at the most; whichever of epochs and max_steps ends first."
    )
    rows_per_step: int = Field(16, ge=1, description="Rows of one optimizer step.")
    tokens_per_batch: int = Field(
        16_384, ge=1, description="Padded tokens that go through the model together."
    )
    max_tokens: int = Field(8_192, ge=32, description="Longest prompt; longer documents are cut.")
    learning_rate: float = Field(1e-5, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="Shape of the learning rate after the warmup."
    )
    warmup_steps: int = Field(1_000, ge=0, description="Steps of linear warmup.")
    warmup_ratio: float | None = Field(
        None, ge=0, lt=1, description="Warmup as a share of all steps, over warmup_steps."
    )
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    gradient_checkpointing: bool = Field(
        True, description="Less memory, about a third more time: activations are computed twice."
    )
    dtype: Literal["fast", "bfloat16", "float32"] = Field(
        "bfloat16",
        description="bfloat16: frozen weights and matrix products; float32: all; fast: bfloat16 "
        "where the processor has products for it.",
    )
    quantize_base: Literal["nf4"] | None = Field(
        None,
        description="nf4: frozen weights in 4 bits (QLoRA, arXiv 2305.14314), with the extra "
        "train4bit. The adapter is used, merged and exported on the base's full weights.",
    )
    save_steps: int = Field(500, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="Complete checkpoints that stay.")
    log_steps: int = Field(10, ge=1, description="Steps between lines of log.jsonl.")
    dev_steps: int = Field(500, ge=1, description="Steps between measurements on the dev rows.")
    select: Select = Field(
        "auc",
        description="What RUN/best is best at on the dev rows; what they cannot give falls back "
        f"to the first that they can of {', '.join(SELECTABLE)}.",
    )
    patience: int | None = Field(
        None, ge=1, description="Stop after N measurements in a row that are no new best."
    )
    stop_at_collapse: int | None = Field(
        None,
        ge=1,
        description="Stop after N measurements in a row by which the model has collapsed (it says "
        "the same of all dev rows, or ranks them no better than chance); default: warn alone.",
    )
    lora: LoraSection = Field(
        default_factory=lambda: LoraSection(), description="Adapter settings."
    )

    @model_validator(mode="after")
    def _adapters_on_four_bits(self) -> Self:
        if self.quantize_base and self.method == "full":
            raise ValueError('quantize_base: weights in 4 bits cannot be trained; method = "lora"')
        return self
