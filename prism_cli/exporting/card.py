"""The model card: what the run's own manifest, its evaluations and this export say, and no more.

README.md with the front matter that the hub reads. What nobody knows is called unknown.
"""

from dataclasses import dataclass
from typing import Any

from prism_cli.exporting.card_evaluation import evaluation_part
from prism_cli.exporting.card_training import training_part
from prism_cli.exporting.card_usage import usage_part
from prism_cli.exporting.evaluations import Evaluation
from prism_cli.exporting.markdown import block, code, plain, table
from prism_cli.exporting.source import Source
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.shards.manifest import Manifest
from prism_cli.version import __version__

_LIMITS = """\
- The score is calibrated only as far as its training labels are; compare scores of one query.
- The contribution and the evidence are written by a language model. They can be wrong: check them
  against the document where it matters.
- Text that spells the template's control tokens (`<|im_end|>`, `<think>` and the like) is taken
  for the template by tools that render the chat template. `prism rerank` alone spells it out, so
  use that for text that you do not trust.
- A document that does not fit {max_tokens:,} tokens with its query is cut at its end. prism and
  sentence-transformers keep the prompt's end whole and cut alike. A query that does not fit is
  refused by prism, and cut without a word by other tools.
- vLLM was not run for this card."""


@dataclass(frozen=True)
class Facts:
    """All that a card may say."""

    source: Source
    encoder: PromptEncoder
    evaluations: list[Evaluation]
    manifest: Manifest


def model_card(facts: Facts) -> str:
    """The text of README.md."""
    source, figures = facts.source, facts.manifest.figures
    parts = [
        _front_matter(source),
        f"# {plain(source.name)}",
        "A reranker that says why: for a query and a document it gives a score, a verdict, and "
        "where the verdict is yes a one-sentence contribution and a self-contained evidence "
        f"passage (Prism-Reranker, arXiv 2604.23734). Exported by prism {__version__}.",
        *(f"**Warning:** {plain(one)}." for one in figures["warnings"]),
        _facts(facts),
        usage_part(figures["architecture"], figures["max_tokens"], facts.encoder),
        _prompt(facts.encoder),
        training_part(source),
        evaluation_part(facts.evaluations),
        _check(facts.manifest),
        "## Limits\n\n" + _LIMITS.format(max_tokens=figures["max_tokens"]),
        "## Files\n\n`SHA256SUMS` lists the SHA-256 of every file (`sha256sum -c SHA256SUMS`); "
        "`manifest.json` says what this folder was made from; `prism.json` names the prompt.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(source: Source) -> str:
    from huggingface_hub import ModelCardData

    data: Any = ModelCardData(
        base_model=source.hub_id,
        library_name="sentence-transformers",
        pipeline_tag="text-ranking",
        tags=["sentence-transformers", "cross-encoder", "reranker", "prism-reranker"],
    )
    return f"---\n{data.to_yaml()}\n---"


def _facts(facts: Facts) -> str:
    source, config, figures = facts.source, facts.manifest.config, facts.manifest.figures
    made_from = code(source.hub_id or source.base_name or source.name)
    rows = [
        ("base", made_from),
        ("licence of the base", plain(source.licence or "unknown")),
        ("made from", _made_from(source)),
        ("parameters", f"{figures['parameters']:,}"),
        ("weights", plain(_weights(config))),
        ("architecture", code(figures["architecture"])),
        ("longest prompt", f"{figures['max_tokens']:,} tokens"),
        ("prompt profile", f"{code(config['profile'])}, SHA-256 {code(config['profile_hash'])}"),
        ("fingerprint of what was exported", code(source.fingerprint)),
    ]
    return table(("", ""), rows)


def _weights(config: dict[str, Any]) -> str:
    kind = str(config["dtype"])
    return f"{config['quantize']} (the rest {kind})" if config["quantize"] else kind


def _made_from(source: Source) -> str:
    what = "an adapter, merged into the base" if source.adapter else "whole weights"
    if source.run is None or source.manifest is None:
        return what
    which = f"{what}; {code(source.path.name)} of a `prism train` run"
    return which if source.manifest["finished"] else f"{which} that was not finished"


def _prompt(encoder: PromptEncoder) -> str:
    profile = encoder.profile
    ends = "two line breaks" if profile.suffix.endswith("\n\n") else "a line break"
    return (
        "## Prompt\n\nByte for byte; `{query}` and `{document}` stand for the texts. The next "
        "token is the verdict, `yes` or `no`, and the score is sigmoid(l_yes - l_no) there. "
        "`chat_template.jinja` renders it from two messages of the roles `query` and "
        f"`document`. It ends with {ends}.\n\n"
        + block(profile.prompt("{query}", "{document}").rstrip("\n"), "text")
    )


def _check(manifest: Manifest) -> str:
    check = manifest.figures["check"]
    rho = check["rank_correlation"]
    return (
        "## Difference from the exported model\n\n"
        f"Over {check['pairs']} pairs (bundled questions with passages, and a canary), "
        "both in float32 arithmetic: largest difference of the logits "
        f"{check['largest']:.3g}, median {check['median']:.3g}, rank correlation "
        f"{'none (all scores are the same)' if rho is None else format(rho, '.4f')}. Tools that "
        "compute in 16 bits differ by more, from one batch to the next as well."
    )
