"""Decoding with drafts gives the texts of decoding without, in float32."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from prism_cli.modeling.decoding import Decoder, Generation, PassCounts, StopRule, decode
from prism_cli.modeling.dense_pass import DensePass
from prism_cli.modeling.hybrid_pass import HybridPass
from prism_cli.modeling.prefix_cache import BatchCache
from prism_cli.modeling.prompt_lookup import PromptLookup
from tests.modeling.tiny import SHAPES, VOCABULARY, tiny_model

ROWS = 5
LIMIT = 24


class Syllables:
    """A minimal tokenizer with two letters per token: 0 is "aa", 1 is "ab", …."""

    def get_vocab(self) -> dict[str, int]:
        return {self.decode([token]): token for token in range(VOCABULARY)}

    def decode(self, tokens: list[int], **_: Any) -> str:
        return "".join(chr(97 + token // 26) + chr(97 + token % 26) for token in tokens)


def ends(stops: set[int], closing: str = "") -> StopRule:
    tokenizer: Any = Syllables()
    return StopRule(stops, tokenizer, closing)


class Toy:
    """A tiny model, random prompts and the greedy text of each, decoded without a cache."""

    def __init__(self, shape: str) -> None:
        self.random = random.Random(5)
        self.model: Any = tiny_model(shape)
        self.head = self.model.get_output_embeddings()
        # An untied head: a tied one repeats its input.
        self.head.weight = torch.nn.Parameter(torch.randn(VOCABULARY, 48))
        self.forward = HybridPass(self.model) if shape == "qwen3_5" else DensePass(self.model)
        self.prompts = [self.some(self.random.randrange(3, 30)) for _ in range(ROWS)]
        self.firsts = self.some(ROWS)
        with torch.inference_mode():
            self.plain = [self.loop(row) for row in range(ROWS)]

    def some(self, count: int) -> list[int]:
        return [self.random.randrange(5, VOCABULARY) for _ in range(count)]

    def loop(self, row: int) -> list[int]:
        """Generate tokens by a full forward pass each."""
        ids = [*self.prompts[row], self.firsts[row]]
        start = len(ids)
        while len(ids) < start + LIMIT:
            ids.append(int(self.model(torch.tensor([ids])).logits[0, -1].argmax()))
        return ids[start:]

    @torch.inference_mode()
    def written(
        self, sources: list[list[int]] | None, limits: list[int], end: StopRule
    ) -> tuple[list[list[int]], PassCounts]:
        state = self.state(range(ROWS))
        texts = [
            Generation(
                self.firsts[row],
                limits[row],
                end,
                PromptLookup(sources[row]) if sources else None,
            )
            for row in range(ROWS)
        ]
        passes = decode(self.forward, self.head, state, texts)
        return [text.tokens for text in texts], passes

    @torch.inference_mode()
    def state(self, rows: Sequence[int]) -> BatchCache:
        """Return the state behind the prompts of some rows."""
        prompts = [self.prompts[row] for row in rows]
        states = self.forward.prefill([prompt[:1] for prompt in prompts])
        _, state = self.forward.extend(states, [prompt[1:] for prompt in prompts], keep=True)
        assert state is not None
        return state

    def sources(self, wrong: int) -> list[list[int]]:
        """Return the text of each row with about every `wrong`-th token replaced."""
        return [
            [
                token if self.random.randrange(wrong) else 1
                for token in [self.firsts[row], *self.plain[row]]
            ]
            for row in range(ROWS)
        ]


@pytest.fixture(scope="module", params=SHAPES)
def toy(request: pytest.FixtureRequest) -> Toy:
    return Toy(request.param)


def cut(tokens: list[int], limit: int, stops: set[int], closing: str = "") -> list[int]:
    """Return `tokens` up to their end, checked token by token."""
    decode = Syllables().decode
    for count, token in enumerate(tokens[:limit]):
        if token in stops:
            return tokens[:count]
        if closing and closing in decode(tokens[: count + 1]):
            return tokens[: count + 1]
    return tokens[:limit]


@pytest.mark.parametrize("wrong", [2, 12])
def test_texts_are_those_of_a_plain_loop_wherever_they_end(toy: Toy, wrong: int) -> None:
    taken_in_runs = 0
    for case in range(4):
        row = toy.random.randrange(ROWS)
        place = toy.random.randrange(2, LIMIT - 2)
        stops = {toy.plain[row][place]} if case % 2 else set[int]()
        other = toy.plain[(row + 1) % ROWS]
        closing = Syllables().decode(other[place - 2 : place + 2])[1:-1] if case % 4 > 1 else ""
        limits = [toy.random.randrange(LIMIT + 1) for _ in range(ROWS)]
        texts, passes = toy.written(toy.sources(wrong), limits, ends(stops, closing))
        alone, without = toy.written(None, limits, ends(stops, closing))
        expected = [
            cut(tokens, limit, stops, closing) if first not in stops else []
            for tokens, limit, first in zip(toy.plain, limits, toy.firsts, strict=True)
        ]
        assert texts == expected
        assert alone == expected
        assert without.accepted == without.proposed == 0
        taken_in_runs += passes.accepted
        assert passes.passes <= without.passes
    assert (taken_in_runs > 0) == toy.forward.supports_rollback


def test_right_proposals_save_passes(toy: Toy) -> None:
    if not toy.forward.supports_rollback:
        pytest.skip("no rollback of recurrent states")
    texts, passes = toy.written(toy.sources(10**9), [LIMIT] * ROWS, ends(set()))
    assert texts == toy.plain
    assert passes.passes < LIMIT / 3
    assert passes.rows + passes.accepted == ROWS * LIMIT


def test_row_that_begins_with_a_stop_or_has_no_limit_left_is_empty(toy: Toy) -> None:
    limits = [0, 3, 3, 3, 3]
    texts, _ = toy.written(None, limits, ends({toy.firsts[1]}))
    assert texts[:2] == [[], []]
    assert all(len(tokens) <= 3 for tokens in texts[2:])


@torch.inference_mode()
def test_texts_that_join_between_passes_are_those_of_a_plain_loop(toy: Toy) -> None:
    decoder = Decoder(toy.forward, toy.head)
    texts = [
        Generation(
            toy.firsts[row], LIMIT, ends(set()), PromptLookup([toy.firsts[row], *toy.plain[row]])
        )
        for row in range(ROWS)
    ]
    for rows in ([0, 1], [2], [4, 3]):
        decoder.add([(toy.state(rows), range(len(rows)))], [texts[row] for row in rows])
        assert decoder.step()
    while decoder.step():
        pass
    assert [text.tokens for text in texts] == toy.plain
    decoder.add([(toy.state([1, 2]), [1])], [late := Generation(toy.firsts[2], 3, ends(set()))])
    while decoder.step():
        pass
    assert late.tokens == toy.plain[2][:3]


@torch.inference_mode()
def test_a_text_that_is_given_up_takes_part_in_no_further_pass(toy: Toy) -> None:
    decoder = Decoder(toy.forward, toy.head)
    texts = [Generation(toy.firsts[row], LIMIT, ends(set())) for row in range(ROWS)]
    decoder.add([(toy.state(range(ROWS)), range(ROWS))], texts)
    decoder.step()
    for text in texts[1:]:
        text.ended = True
    while decoder.step():
        pass
    assert texts[0].tokens == toy.plain[0]
    assert [len(text.tokens) for text in texts[1:]] == [1] * (ROWS - 1)
    assert decoder.counts.rows == ROWS + LIMIT - 1


def test_text_ends_right_behind_the_closing_characters() -> None:
    tokens = [3 * 26 + 4, 5 * 26 + 6, 7 * 26 + 8]  # "de", "fg", "hi"
    end = ends({1}, "gh")
    assert not end.closed(tokens[:2])
    assert end.closed(tokens)
    assert end.text(tokens) == "defgh"
    assert end.text(tokens[:2]) == "defg"
    assert ends({1}).text(tokens) == "defghi"
