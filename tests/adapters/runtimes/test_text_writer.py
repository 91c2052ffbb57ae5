"""The ends of texts, with a real tokenizer and a model that follows a script."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from prism_cli.adapters.runtimes.text_writer import CLOSING, TextWriter
from prism_cli.adapters.runtimes.transformers_runtime import load_reranker
from prism_cli.domain.prompting import PRISM_NO_THINK
from prism_cli.domain.targets import parse_text
from prism_cli.modeling.decoding import StopRule
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.prefix_cache import BatchCache
from prism_cli.ports import RerankTask

DOCUMENT = (
    "The Rhine rises in the Alps. It flows north to the sea, past Basel and Cologne. It is old."
)


@pytest.fixture(scope="module")
def encoder(tokenizer: PreTrainedTokenizerBase) -> PromptEncoder:
    return PromptEncoder(tokenizer, PRISM_NO_THINK)


class Script:
    """Model that predicts the next token of each row's script; a row's one layer is its number."""

    def __init__(self, scripts: list[list[int]], *, supports_rollback: bool) -> None:
        self.attention = [False]
        self.supports_rollback = supports_rollback
        self.scripts = scripts

    def state(self) -> BatchCache:
        rows = torch.arange(len(self.scripts))
        return BatchCache([(rows, rows)], torch.zeros_like(rows), torch.zeros_like(rows))

    def step(self, state: BatchCache, tokens: Sequence[Sequence[int]]) -> Tensor:
        rows = zip(state.layers[0][0].tolist(), state.positions.tolist(), tokens, strict=True)
        says = [self.scripts[row][at + place] for row, at, ids in rows for place in range(len(ids))]
        return torch.nn.functional.one_hot(torch.tensor(says), 49_152).float()


class VerdictTexts:
    """Texts that scripts produced.

    Attributes:
        texts: as read by `parse_text`.
        counts: tokens of each.
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        scripts: list[str],
        limits: list[int],
        *,
        supports_rollback: bool,
    ) -> None:
        ids = [encoder.tokenizer(script).input_ids + [encoder.eos_id] * 20 for script in scripts]
        model: Any = torch.nn.Module()
        model.get_output_embeddings = torch.nn.Identity
        forward = Script(ids, supports_rollback=supports_rollback)
        writer = TextWriter(forward, model, encoder)
        prompts = [encoder.encode("where?", DOCUMENT)] * len(scripts)
        results = writer.write([(forward.state(), range(len(scripts)))], prompts, limits)
        self.texts = [writer.decoded(text) for text in results]
        self.counts = [len(text.tokens) for text in results]
        self.passes = writer.passes


BEGINNING = "\n<contribution>Where the Rhine flows.</contribution>\n<evidence>"
SENTENCE = "It flows north to the sea, past Basel and Cologne."
WHOLE = f"{BEGINNING}{SENTENCE}</evidence>"
SCRIPTS = [
    f"{WHOLE} And more, {SENTENCE}",
    f"{WHOLE}</evidence>",  # "></" is one token
    f"{WHOLE}.",  # and so is ">."
    f"{WHOLE}<|im_end|>",
    f"{BEGINNING}{SENTENCE}<|im_end|>{SENTENCE}",
    f"{BEGINNING}{SENTENCE} {SENTENCE} {SENTENCE} {SENTENCE}",
    f"{BEGINNING}a -> b, if a > 3 {SENTENCE}</evidence>{SENTENCE}",
]


@pytest.mark.parametrize("supports_rollback", [True, False])
def test_texts_end_after_the_closing_tag_or_before_a_stop_or_at_their_limit(
    encoder: PromptEncoder, supports_rollback: bool
) -> None:
    def length(text: str) -> int:
        return len(encoder.tokenizer(text).input_ids)

    script_writer = VerdictTexts(
        encoder, SCRIPTS, [60] * len(SCRIPTS), supports_rollback=supports_rollback
    )
    assert script_writer.texts[:4] == ["yes" + WHOLE] * 4
    assert script_writer.counts[:4] == [length(WHOLE)] * 4
    assert script_writer.texts[4] == f"yes{BEGINNING}{SENTENCE}"
    assert script_writer.counts[4] == length(BEGINNING + SENTENCE)
    assert script_writer.counts[5] == 60
    assert script_writer.texts[6].endswith(f"a -> b, if a > 3 {SENTENCE}</evidence>")
    assert [parse_text(text).format_ok for text in script_writer.texts] == [True] * 4 + [
        False,
        False,
        True,
    ]
    limits = [length(BEGINNING) + place for place in (0, 1, 3, 7, 12, 13, 14)]
    cut = VerdictTexts(encoder, SCRIPTS, limits, supports_rollback=supports_rollback)
    assert cut.counts == [min(pair) for pair in zip(limits, script_writer.counts, strict=True)]
    assert all(map(str.startswith, script_writer.texts, cut.texts))
    assert (script_writer.passes.accepted > 100) == supports_rollback


def test_a_row_has_the_same_text_alone_and_in_a_batch(encoder: PromptEncoder) -> None:
    limits = [40, 50, 9, 60, 50, 17, 60]
    together = VerdictTexts(encoder, SCRIPTS, limits, supports_rollback=True)
    for row, (script, limit) in enumerate(zip(SCRIPTS, limits, strict=True)):
        alone = VerdictTexts(encoder, [script], [limit], supports_rollback=True)
        assert alone.texts == [together.texts[row]]
        assert alone.counts == [together.counts[row]]


def test_closing_tag_is_seen_at_the_token_that_completes_it(encoder: PromptEncoder) -> None:
    tokenizer = encoder.tokenizer
    ends = StopRule(set(), tokenizer, CLOSING)
    for behind in ("", "\n", ".", ">", "</evidence>", " é"):
        tokens = tokenizer(f"yes {SENTENCE} é{CLOSING}{behind}").input_ids
        closed = [ends.closed(tokens[:count]) for count in range(1, len(tokens) + 1)]
        place = closed.index(True)
        assert CLOSING not in tokenizer.decode(tokens[:place])
        assert CLOSING in tokenizer.decode(tokens[: place + 1])
        assert ends.text(tokens[: place + 1]) == f"yes {SENTENCE} é{CLOSING}"


def test_drafts_do_not_change_the_text_of_a_real_model() -> None:
    reranker = load_reranker("hf:smollm2", device="cpu", dtype="float32")
    tasks = [
        RerankTask(f"where does the Rhine {word}?", DOCUMENT, limit, float("-inf"))
        for word, limit in (("rise", 24), ("flow to", 9), ("end", 24))
    ]
    with_drafts = reranker.answer(tasks)
    passes = reranker.writer.passes
    reranker.writer = TextWriter(
        reranker._pass, reranker.loaded.model, reranker.encoder, drafts=False
    )
    assert reranker.answer(tasks) == with_drafts
    assert passes.accepted > 5
    assert passes.passes < reranker.writer.passes.passes
    assert reranker.writer.passes.proposed == 0
