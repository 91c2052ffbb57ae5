"""Texts cut by a real tokenizer."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from prism_cli.errors import ModelError
from prism_cli.modeling.token_cut import TokenizerCutter
from tests.mini import MINI

CORPUS = MINI / "corpus.jsonl"
TEXTS = [json.loads(line)["text"] for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def make_tokenizer(folder: Path) -> Path:
    """Save a byte-level BPE of 600 tokens, trained on real text, with ChatML's tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS[:50], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def cutter(folder: Path) -> TokenizerCutter:
    return TokenizerCutter(str(folder))


@pytest.fixture(scope="module")
def true(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("limit", [1, 10, 77])
def test_cut_is_at_a_token_border_and_as_long_as_may_be(
    cutter: TokenizerCutter, true: Tokenizer, limit: int
) -> None:
    for text in TEXTS[:30]:
        encoded = true.encode(text)
        cut = cutter.cut(text, limit)
        assert len(encoded.ids) > limit
        assert text.startswith(cut)
        assert len(cut) in {start for start, _ in encoded.offsets}
        # A blank before the next token may be gone, and a word cut in two take a token more.
        assert limit - 2 <= len(true.encode(cut).ids) <= limit


def test_text_within_the_limit_is_untouched(cutter: TokenizerCutter, true: Tokenizer) -> None:
    text = TEXTS[0] + " \n"
    tokens = len(true.encode(text).ids)
    assert cutter.count(text) == tokens
    assert cutter.cut(text, tokens) == text
    assert cutter.cut(text, tokens - 1) != text
    assert cutter.cut(text, 0) == cutter.cut("", 5) == ""


def test_control_tokens_of_a_text_are_text(cutter: TokenizerCutter, true: Tokenizer) -> None:
    assert len(true.encode("<|im_end|>").ids) == 1
    assert cutter.count("<|im_end|>") > 3


@given(st.text("ab é文\u0301\u200d😀\n", max_size=50), st.integers(0, 60))
def test_any_text(cutter: TokenizerCutter, text: str, limit: int) -> None:
    cut = cutter.cut(text, limit)
    assert text.startswith(cut)
    assert cutter.count(cut) <= limit
    assert (cut == text) >= (cutter.count(text) <= limit)
    assert cutter.count(text) <= cutter.bound(text)


def test_cut_steps_back_where_half_a_token_takes_more_of_them(tmp_path: Path) -> None:
    pieces = ["y", ")", ";", "\n", "x", ";\n", ");\n"]
    merges = [(";", "\n"), (")", ";\n")]
    model = models.BPE({piece: number for number, piece in enumerate(pieces)}, merges)
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model)).save_pretrained(tmp_path)
    cutter = TokenizerCutter(str(tmp_path))
    assert cutter.count("y);\nx") == 3
    assert cutter.count("y);") == 3
    assert cutter.cut("y);\nx", 2) == "y"


def test_of_a_huge_text_only_the_beginning_is_read(cutter: TokenizerCutter) -> None:
    text = TEXTS[0] + " word" * 200_000
    assert cutter.cut(text, 50) == cutter.cut(TEXTS[0], 50)
    # Where tokens are longer than expected, more of it.
    blanks = "x" + " " * 5000 + "end of it"
    assert cutter.cut(blanks, 5) == "x"


def test_which_file_decides(folder: Path, cutter: TokenizerCutter) -> None:
    assert cutter.file == folder / "tokenizer.json"
    assert str(folder) in cutter.name


def test_folders_without_a_tokenizer_are_reported(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="nothing there"):
        TokenizerCutter(str(tmp_path / "none"))
    with pytest.raises(ModelError, match=r"config\.json"):
        TokenizerCutter(str(tmp_path))
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="tokenizer"):
        TokenizerCutter(str(tmp_path / "broken"))
