"""The first tokens of a long text equal those of the whole text."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from prism_cli.modeling import first_tokens
from prism_cli.modeling.first_tokens import TextTruncator, bare_tokenizer, beginning, leading_ids
from tests.modeling.real_tokenizers import KINDS, real_texts, tokenizer_of

NAMES = (*KINDS, "wordpiece", "unigram", "no_words")
PIECES = [
    "the ", "word", "  ", "\n", " \n\n", "\t", "1234567", "don't", "…", "!!!", "<|im_end|>",
    "e\u0301\u0323", "\u0323\u0301", "\u0338", "中文字符没有空格", "。", "한국어", "각",
    "ไทยไม่มีช่องว่าง", "日本語カタカナ", "👩‍👩‍👧", "👍🏽", "🇫🇷", "xX",
    "ABCDe", "_", "\u200b", "é", "\r",
]  # fmt: skip


@cache
def tokenizer_named(name: str) -> Tokenizer:
    if name in KINDS:
        return bare_tokenizer(tokenizer_of(name).backend_tokenizer, keep_added=False)
    if name == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=900, special_tokens=["[UNK]", "[SEP]"], show_progress=False
        )
    elif name == "unigram":
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
        )
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=600, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
    else:  # a whole text is one word
        made = Tokenizer(models.BPE())
        made.normalizer = normalizers.Replace(" ", "▁")
        trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False)
    made.train_from_iterator([*real_texts()[:40], *PIECES * 3], trainer)
    return bare_tokenizer(made, keep_added=name == "wordpiece")


def first_ids(tokenizer: Tokenizer, text: str, limit: int) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids[:limit]


@st.composite
def long_texts(draw: st.DrawFn) -> str:
    """Draw runs of pieces and single pieces that repeat."""
    runs = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), min_size=1, max_size=6)
    parts = draw(st.lists(st.tuples(runs, st.sampled_from([1, 3, 40, 400])), max_size=5))
    text = "".join("".join(pieces) * times for pieces, times in parts)
    return text[: draw(st.integers(0, len(text)))]


@pytest.mark.parametrize("name", NAMES)
@given(text=long_texts(), limit=st.sampled_from([1, 2, 17, 64]))
@example(text="a" * 5000, limit=16)
@example(text="e" + "\u0301\u0323" * 3000, limit=3)
@example(text="word\n" + " " * 3000 + "\nend", limit=8)
@example(text="中文没有空格" * 900, limit=64)
@settings(max_examples=25, deadline=None)
def test_first_ids_are_those_of_the_whole_text(name: str, text: str, limit: int) -> None:
    tokenizer = tokenizer_named(name)
    expected = first_ids(tokenizer, text, limit)
    assert leading_ids(tokenizer, ["short", text], limit)[1] == expected
    part = beginning(tokenizer, text, limit)
    assert text.startswith(part)
    assert first_ids(tokenizer, part, limit) == expected


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, int], int]:
    """Count the characters tokenized for the first ids of a text."""

    def characters(name: str, text: str, limit: int) -> int:
        seen = []
        real = tokenizer_named(name)

        class Counting:
            def encode(self, part: str, **more: bool) -> object:
                seen.append(len(part))
                return real.encode(part, **more)

        first_tokens._leading(Counting(), text, limit)  # type: ignore[arg-type]
        return sum(seen)

    return characters


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", ["Some words of a book. ", "中文没有空格。", "zx9", "👍🏽"])
def test_what_is_cut_away_is_not_tokenized(
    read: Callable[[str, str, int], int], name: str, unit: str
) -> None:
    if name == "wordpiece" and " " not in unit and "。" not in unit:
        pytest.skip("a word over 100 characters is one unknown token: there are not so many")
    assert read(name, unit * 100_000, 64) < 10_000


@given(text=long_texts(), limit=st.sampled_from([2, 17]))
@settings(max_examples=25, deadline=None)
def test_a_model_that_strips_and_prompts_reads_the_same_beginning(text: str, limit: int) -> None:
    tokenizer = tokenizer_named("wordpiece")
    made = Tokenizer.from_str(tokenizer.to_str())
    made.enable_truncation(limit)

    class Fast:
        backend_tokenizer = made

    text = " \n" * 300 + text
    (part,) = TextTruncator(Fast(), limit).of([text])
    for prompt in ("", "passage: "):
        assert made.encode(prompt + part.strip()).ids == made.encode(prompt + text.strip()).ids
    assert TextTruncator(Fast(), None).of([text]) == TextTruncator(object(), 5).of([text]) == [text]
