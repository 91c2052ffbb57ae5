"""The token estimate, against real tokenizers, and truncation by it."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from prism_cli.domain.token_estimate import _weigh, cut_to_estimate, estimate_tokens

ENGLISH = (
    "The keeper of the lighthouse wrote down the wind, the temperature and the height of the waves "
    "three times a day, and every ship that asked for the way. In 1874, Inspector Hale had the oil "
    "lamp replaced by gas, which burned brighter but needed a second keeper and a coal shed. "
)
CODE = (
    "def read(self, path: Path) -> list[int]:\n"
    '    """Numbers of a file."""\n'
    "    if not path.exists():\n"
    "        raise ValueError(f'{path}: expected a file, found nothing')\n"
    "    return [int(line, 16) & 0xFF for line in path.open() if line.strip()]\n"
)
CHINESE = (
    "海边的灯塔不仅为渔船指路，还记录每天的风向、气温和海浪的高度。"
    "公元1874年，守塔人把灯油换成了煤气。"
)


# Tokens of SmolLM2's tokenizer for the first two, of Qwen's for the Chinese.
@pytest.mark.parametrize(
    ("text", "true"), [(ENGLISH, 63), (CODE, 72), (CHINESE, 40)], ids=["english", "code", "chinese"]
)
def test_the_estimate_is_near_the_real_count(text: str, true: int) -> None:
    assert 0.85 * true <= estimate_tokens(text) <= 1.6 * true


def test_estimate_counts_by_kind() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a") == 1
    assert estimate_tokens("abcde" * 10) == 10
    assert estimate_tokens("12345") == 5
    assert estimate_tokens("海边灯塔") == 4
    assert estimate_tokens("ёёёё") == 2
    assert estimate_tokens(CHINESE) <= len(CHINESE)


def test_a_character_counts_alone_as_in_a_cut() -> None:
    borders = "\0\t /09:@AZ[`az{~\x7f\x80\xff\u0100\u07ff\u0800\ud800\uffff\U00010000\U0010ffff"
    for character in borders:
        tokens = estimate_tokens(character * 100)
        assert estimate_tokens(character * 20) * 5 == tokens == _weigh(character) * 5


@pytest.mark.parametrize("text", [ENGLISH * 5, CODE * 5, CHINESE * 5, ENGLISH + CHINESE * 5])
@pytest.mark.parametrize("limit", [0, 1, 7, 50, 133])
def test_cut_is_the_longest_prefix_at_a_word_border(text: str, limit: int) -> None:
    cut = cut_to_estimate(text, limit)
    assert text.startswith(cut)
    assert cut == cut.rstrip()
    assert estimate_tokens(cut) <= limit
    rest = text[len(cut) :]
    if cut and cut.isascii():
        assert rest[0].isspace()
    # One word more would be too much.
    following = rest[: len(rest) - len(rest.lstrip())] + rest.split()[0]
    assert estimate_tokens(cut + (following if rest[0].isascii() else rest[0])) > limit


def test_text_within_the_limit_is_untouched() -> None:
    text = ENGLISH + "\n "
    assert cut_to_estimate(text, estimate_tokens(text)) == text
    assert cut_to_estimate("ab\n", 3) == "ab\n"
    assert cut_to_estimate("", 0) == ""


def test_a_giant_word_is_split_but_no_grapheme_is() -> None:
    assert cut_to_estimate("x" * 1000, 10) == "x" * 50
    assert cut_to_estimate("short " + "x" * 1000, 30) == "short " + "x" * 144
    accents = "e\u0301" * 100
    cut = cut_to_estimate(accents, 10)
    assert cut
    assert len(cut) % 2 == 0
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert cut_to_estimate(family * 50, 12) == family * 2
    assert cut_to_estimate("\U0001f44d\U0001f3fd" * 50, 3) == "\U0001f44d\U0001f3fd"
    flag = "\U0001f1e9\U0001f1ea"
    assert cut_to_estimate(flag * 50, 5) == flag * 2
    # A text of one such character: no part of it fits.
    assert cut_to_estimate("a" + "\u0301" * 1000, 10) == ""


@pytest.mark.parametrize("piece", ["word ", "x", "灯", "a\u0301", "\u200d", " ", "\U0001f1e9"])
def test_work_grows_with_the_limit_alone(piece: str) -> None:
    read = []

    class CountedReads(str):
        def __iter__(self) -> Iterator[str]:
            for character in super().__iter__():
                read.append(1)
                yield character

        def __getitem__(self, place: Any) -> str:
            part = super().__getitem__(place)
            read.append(len(part))
            return part

    cut_to_estimate(CountedReads(piece * 300_000), 100)
    assert 100 <= sum(read) < 2000


def test_prefixes_of_random_text_are_within_the_limit() -> None:
    rng = random.Random(0)
    letters = "ab C9.,\n é灯ก\u0301\u200d\U0001f3fd\U0001f468\U0001f1e9"
    for _ in range(500):
        text = "".join(rng.choices(letters, k=rng.randrange(60)))
        limit = rng.randrange(30)
        cut = cut_to_estimate(text, limit)
        assert text.startswith(cut)
        assert estimate_tokens(cut) <= limit
        assert (cut == text) == (estimate_tokens(text) <= limit)
