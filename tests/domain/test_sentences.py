"""Sentence splitting by rules: boundaries, exceptions, and no lost text."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.domain.sentences import MAX_SENTENCE_CHARS, sentence_spans, sentences

CASES = {
    "abbreviations": (
        "Mr. J. R. Smith saw Dr. Who vs. Prof. X, i.e. nobody. He left.",
        ["Mr. J. R. Smith saw Dr. Who vs. Prof. X, i.e. nobody.", "He left."],
    ),
    "decimals": ("It is $3.14 in v2.0.1. Is 1.5 %.", ["It is $3.14 in v2.0.1.", "Is 1.5 %."]),
    "abbreviation ends a sentence": (
        "He came at 5 p.m. The U.S. Army works for Apple Inc. It is big.",
        ["He came at 5 p.m.", "The U.S. Army works for Apple Inc.", "It is big."],
    ),
    "number five": ("See No. 5. It says no. The end.", ["See No. 5.", "It says no.", "The end."]),
    "a word or a number": (
        "Old ones? No. New ones are dear, see no. BT-25. All but no. 9 left.",
        ["Old ones?", "No.", "New ones are dear, see no. BT-25.", "All but no. 9 left."],
    ),
    "units": (
        "It rose 640 m. Camp 2 took 14 ms. Ms. Pell draws 740 W. Ask J. W. Pell.",
        ["It rose 640 m.", "Camp 2 took 14 ms.", "Ms. Pell draws 740 W.", "Ask J. W. Pell."],
    ),
    "an initial behind a year": (
        "In 1905 A. Einstein wrote it. It ran at 640 V. Nobody came.",
        ["In 1905 A. Einstein wrote it.", "It ran at 640 V.", "Nobody came."],
    ),
    "possessives": (
        "It needs Ann's or Tobias Wren's. Questions go to 'J. Pell'.",
        ["It needs Ann's or Tobias Wren's.", "Questions go to 'J. Pell'."],
    ),
    "quotes": (
        '"Stop." Then he said "Go!" and left. “Why?” she asked. (It was late.) Good.',
        ['"Stop."', 'Then he said "Go!" and left.', "“Why?” she asked.", "(It was late.)", "Good."],
    ),
    "footnotes": ("It fell.[12] Rome rose.[3][4]", ["It fell.[12]", "Rome rose.[3][4]"]),
    "list numbers": ("1. First thing. 2. Second thing.", ["1. First thing.", "2. Second thing."]),
    "bullets": ("Two:\n- one\n- two\n\nwrapped\nline", ["Two:", "- one", "- two", "wrapped\nline"]),
    "ellipsis": ("Well... maybe. And so… Next one.", ["Well... maybe.", "And so…", "Next one."]),
    "chinese": (
        "他说：“你好。”然后走了！真的吗？是3.5元",
        ["他说：“你好。”", "然后走了！", "真的吗？", "是3.5元"],
    ),
    "japanese": ("「行く。」と言った。雨だ。", ["「行く。」", "と言った。", "雨だ。"]),
    "hindi abbreviations": (
        "डॉ. कावेरी ने पूछा। प्रो. राव और पं. मिश्र आए थे. बारिश हुई।",
        ["डॉ. कावेरी ने पूछा।", "प्रो. राव और पं. मिश्र आए थे.", "बारिश हुई।"],
    ),
    "german": (
        "Er kam am 3. Oktober, z.B. Dr. Kohl. Gut so.",
        ["Er kam am 3. Oktober, z.B. Dr. Kohl.", "Gut so."],
    ),
    "german ordinals": (
        "Frei bis zum 18. Geburtstag, dann zahlt man in der 3. Zone 5 Taler. Es sind 18. Gut so.",
        [
            "Frei bis zum 18. Geburtstag, dann zahlt man in der 3. Zone 5 Taler.",
            "Es sind 18.",
            "Gut so.",
        ],
    ),
    "titles": (
        "Il sig. Rossi e dhr. Jansen. Der hl. Franz, Prof. Dr. med. Weber und Dr. rer. nat. Noll. "
        "Pan Ing. Novak.",
        ["Il sig. Rossi e dhr. Jansen.", "Der hl. Franz, Prof. Dr. med. Weber und Dr. rer. nat. "
         "Noll.", "Pan Ing. Novak."],
    ),
    "words like titles": (
        "Han vaskede sig. Derefter kom hun med. Open a tab. Tab. 3 shows 5 hl. The rest is Abb. 4.",
        ["Han vaskede sig.", "Derefter kom hun med.", "Open a tab.", "Tab. 3 shows 5 hl.",
         "The rest is Abb. 4."],
    ),
    "months, states and streets": (
        "Le 5 janv. 1950, aux EE. UU. Bahnhofstr. 5 liegt links. He studied EE. He left.",
        ["Le 5 janv. 1950, aux EE. UU. Bahnhofstr. 5 liegt links.", "He studied EE.", "He left."],
    ),
    "hindi": ("यह एक है। वह दो है।", ["यह एक है।", "वह दो है।"]),
    "arabic": ("هل هذا صحيح؟ نعم.", ["هل هذا صحيح؟", "نعم."]),
    "no punctuation": ("just some words", ["just some words"]),
    "nothing": (" \n\t ", []),
    "only marks": ("... --- !!!", []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_sentence_boundaries(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


texts = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="aA1 .!?\n\"')。，！-[]…", max_size=300),
    st.lists(
        st.sampled_from(["Mr. ", "word ", "U.S. ", "3.5 ", "The end. ", "。", "\n\n", "x" * 700]),
        max_size=20,
    ).map("".join),
)  # fmt: skip


@given(texts)
def test_sentences_are_slices_in_order_without_loss(text: str) -> None:
    spans = sentence_spans(text)
    assert all(begin < end for begin, end in spans)
    assert all(span[1] <= two[0] for span, two in pairwise(spans))
    pieces = sentences(text)
    assert all(piece == piece.strip() and len(piece) <= MAX_SENTENCE_CHARS for piece in pieces)
    chars = [char for piece in pieces for char in piece if char.isalnum()]
    assert chars == [char for char in text if char.isalnum()]


def test_long_sentence_is_cut_at_a_clause_then_at_white_space() -> None:
    clause = "word " * 100 + "end; " + "more " * 100
    assert sentences(clause)[0].endswith("end;")
    assert all(set(sentence.split()) == {"more"} for sentence in sentences("more " * 400))
    assert [len(sentence) for sentence in sentences("x" * 1500)] == [600, 600, 300]


CHARACTERS = {
    "thai": "ก็|ที่|น้ำ",
    "family": "👨\u200d👩\u200d👧\u200d👦|1",
    "skin tone": "👍🏽|1",
    "flags": "🇩🇪|🇫🇷|1",
    "flag of a country": "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f|1",
    "text style": "☎\ufe0e|1",
    "accents": "e\u0301\u0323",
    "devanagari": "क्षि|क",
    "korean": "\u1112\u1161\u11ab",
}  # fmt: skip


@pytest.mark.parametrize("characters", CHARACTERS.values(), ids=CHARACTERS.keys())
@pytest.mark.parametrize("shift", range(4))
def test_a_long_sentence_is_cut_between_characters(characters: str, shift: int) -> None:
    whole = [*"x" * shift, *characters.split("|") * 600]
    ends = {0, *accumulate(map(len, whole))}
    spans = sentence_spans("".join(whole))
    assert len(spans) > 1
    assert {place for span in spans for place in span} <= ends


def test_a_full_stop_keeps_its_variation_selector() -> None:
    assert sentences("他走了。\ufe00雨停了。") == ["他走了。\ufe00", "雨停了。"]


def test_clock_times_and_addresses_are_not_split() -> None:
    words = ["at", "06:12", "see", "https://example.org/kerrow"] * 60
    assert " ".join(sentences(" ".join(words))).split() == words
    assert all({*sentence.split()} <= {*words} for sentence in sentences(" ".join(words)))


@pytest.mark.parametrize(
    "piece",
    [".", ". ", "1. ", "\n", "\n ", '."', "。", "a. ", "A", "[1].", "🇩", "x\u0301", "؟", "।"],
)
@pytest.mark.timeout(60)
def test_time_is_linear_in_the_length(piece: str) -> None:
    """Linear: a second at most. Quadratic: minutes."""
    text = piece * (500_000 // len(piece))
    assert len("".join(sentences(text))) <= len(text)
