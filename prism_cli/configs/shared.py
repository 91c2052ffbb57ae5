"""Settings that several stages have."""

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from prism_cli.configs.base import BeforeValidation, Option
from prism_cli.domain.fusion import fusion_of

LOCAL_MODELS = "Local models"

Device = Annotated[
    str, Option("Device: auto (CUDA if available), cpu, cuda:1.", panel=LOCAL_MODELS)
]
Dtype = Annotated[
    Literal["auto", "fast", "float32", "bfloat16", "float16"],
    Option("Number type; auto: float32 on a CPU, bfloat16 on CUDA.", panel=LOCAL_MODELS),
]
Attention = Annotated[
    Literal["auto", "sdpa", "eager", "varlen", "flash_attention_2"],
    Option("Attention; auto: torch's fused kernels (sdpa).", panel=LOCAL_MODELS),
]
Profile = Annotated[
    str | None,
    Option(
        "Prompt profile: prism, prism-no-think or qwen3-reranker.",
        default="by the model",
        panel=LOCAL_MODELS,
    ),
]
MaxTokens = Annotated[int, Ge(32), Option("Longest prompt in tokens.", panel=LOCAL_MODELS)]
LongDocuments = Annotated[
    Literal["window", "cut"],
    Option(
        "Documents that do not fit: the best score of overlapping windows, or cut at the end.",
        panel=LOCAL_MODELS,
        added=True,
    ),
]
WindowTokens = Annotated[
    int | None,
    Ge(32),
    Option(
        "Split documents into windows of at most N tokens.",
        default="the model's own, else what fits in --max-tokens",
        panel=LOCAL_MODELS,
        added=True,
    ),
]
BatchTokens = Annotated[
    int | None,
    Ge(1),
    Option(
        "Document tokens of a batch, padding included.",
        default="2048 on a CPU, what fits in memory on CUDA",
        panel=LOCAL_MODELS,
    ),
]
Fuse = Annotated[
    float | Literal["rrf"] | None,
    BeforeValidation(fusion_of),
]
Bm25MemoryGb = Annotated[
    float | None,
    Gt(0),
    Option(
        "GB of memory for BM25's index; a larger one is made in parts, with the same result.",
        default="half of what is free",
        recorded=False,
    ),
]
MaxSentences = Annotated[int, Interval(ge=1, le=50), Option("Sentences of extractive evidence.")]
Corpus = Annotated[
    str | None, Option("Texts of a TREC run's ids: a BEIR folder or a corpus.jsonl.")
]
Queries = Annotated[
    str | None,
    Option("Queries of a TREC run's ids: a queries.jsonl, or lines of id, tab, text."),
]
Qrels = Annotated[str | None, Option("Judgements that label the pairs of a TREC run.")]
PositiveGrade = Annotated[int, Ge(1), Option("Lowest source_label of a positive.")]


def as_list(value: object) -> object:
    """Return a list of one text; other values unchanged."""
    return [value] if isinstance(value, str) else value


def as_names(value: object) -> object:
    """Return the names of a text with commas, or of a list, without repeats; none for "none"."""
    if isinstance(value, str):
        value = [] if value == "none" else [name.strip() for name in value.split(",")]
    return list(dict.fromkeys(value)) if isinstance(value, list) else value


Texts = Annotated[
    Literal["auto", "predicted", "labels"],
    Option("Whose texts; auto: the prediction where a row has one, else the label."),
]
Gold = Annotated[
    list[str],
    BeforeValidation(as_list),
    Option(
        'People\'s marks, JSONL: {"query_id", "doc_id" (optional), "answers": [...], '
        '"rationales": ["sentence", ...], "answerable": true or false}; also answers.jsonl '
        "and impossible.jsonl beside a BEIR folder; repeatable."
    ),
]


def refuse_repeats(specs: Sequence[str], rule: str) -> None:
    """Raise ValueError where a spec is given twice.

    Args:
        rule: why once is enough.
    """
    repeated = sorted({spec for spec in specs if specs.count(spec) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is repeated; {rule}")
