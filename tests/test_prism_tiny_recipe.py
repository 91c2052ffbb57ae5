"""recipes/prism-tiny: the rows that it makes, and the teacher that it unpacks."""

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import orjson
import pytest
import torch

FOLDER = Path(__file__).parent.parent / "recipes" / "prism-tiny"
RIVER = "The river Ouse is long. It rises near Linton. Trout live in it. The mill stands at Selby."
"""Four sentences, 5 + 4 + 4 + 5 words."""


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A BEIR folder: a passage about a river, and three of which one is of its group."""
    folder = tmp_path / "rivers"
    (folder / "qrels").mkdir(parents=True)
    others = {"b": "A mill stands at York.", "c": "Trout is a fish.", "d": "Selby has a mill."}
    documents = [{"_id": "a", "title": "Ouse", "text": RIVER}]
    documents += [{"_id": key, "text": text} for key, text in others.items()]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": "q", "text": "Where does the mill stand?"}])
    write_lines(folder / "answers.jsonl", [{"_id": "q", "answers": ["Linton"]}])
    (folder / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t2\nq\td\t1\n")
    return folder


def rows_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[dict[str, Any]]:
    out = folder.parent / "pairs.jsonl"
    monkeypatch.setattr(sys, "argv", ["rows.py", *words, "-o", str(out), "--words", "9"])
    script("rows").main()
    return [orjson.loads(line) for line in out.read_bytes().splitlines()]


def test_a_query_has_its_best_passage_around_the_answer_and_negatives(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    positive, *negatives = rows_of(corpus, monkeypatch, f"{corpus}=1", "--short-share", "1")
    assert positive["document"] == "The river Ouse is long. It rises near Linton."
    assert (positive["source_label"], positive["query_id"]) == ("1", "rivers-q")
    assert [(row["doc_id"], row["source_label"]) for row in negatives] == [("b", "0")]


def test_a_claim_is_a_sentence_that_its_passage_no_longer_has(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = RIVER.replace("near Linton.", "near Linton, far above the old mill and the bridge.")
    text = orjson.dumps({"_id": "a", "title": "Ouse", "text": long})
    (corpus / "corpus.jsonl").write_bytes(
        text + b"\n" + (corpus / "corpus.jsonl").read_bytes().partition(b"\n")[2]
    )
    words = ("--claims", f"{corpus}=1", "--negatives", "2", "--short-share", "0")
    positive, *negatives = rows_of(corpus, monkeypatch, *words)
    assert positive["query"].startswith("It rises near Linton")
    assert positive["document"].startswith("The river Ouse is long.")
    assert "Linton" not in positive["document"]
    assert sorted(row["doc_id"] for row in negatives) == ["b", "d"]


def test_the_teacher_s_blocks_of_four_bits_are_unpacked(tmp_path: Path) -> None:
    levels = np.arange(32, dtype="u1") % 16
    block = struct.pack("<e", 0.5) + (levels[:16] | levels[16:] << 4).tobytes()
    norm = np.array([1.0, 2.0], dtype="<f4").tobytes()
    head = b"E5S1" + struct.pack("<I7ifi", 1, 32, 1, 1, 64, 2, 512, 2, 1e-12, 32)
    pieces = [b"<s>", "▁a".encode()]
    ends = np.cumsum([0, *map(len, pieces)]).tolist()
    words = struct.pack("<5iQ3I2f", 2, 0, 1, 1, 0, ends[-1], *ends, -1.0, -2.0) + b"".join(pieces)
    characters = struct.pack("<iI", 0, 0)
    names = {"w": block, "n": norm}
    size = len(head + words + characters) + 4 + sum(2 + len(n) + 21 for n in names)
    directory = struct.pack("<i", len(names))
    for name, content in names.items():
        entry = struct.pack("=BIQQ", 0, 0, size, len(content))
        directory += struct.pack("<H", len(name)) + name.encode() + entry
        size += len(content)
    path = tmp_path / "packed.bin"
    path.write_bytes(head + words + characters + directory + block + norm)
    packed = script("e5_teacher").Packed(path)
    assert packed.pieces == [("<s>", -1.0), ("▁a", -2.0)]
    assert (packed.width, packed.inner, packed.types, packed.eos) == (32, 64, 2, 1)
    assert packed.tensor("w", 1, 32).tolist() == [((levels - 8.0) / 2).tolist()]
    assert packed.tensor("n", 2).tolist() == [1.0, 2.0]


def test_a_statement_says_what_question_and_answer_say_and_nothing_else() -> None:
    is_faithful, question = script("statements").is_faithful, "Where does the river Ouse rise?"
    assert is_faithful("The river Ouse rises near Linton.", question, "near Linton")
    assert not is_faithful("The river Ouse rises near Selby.", question, "near Linton")
    assert not is_faithful("The river Ouse rises near Linton, a village.", question, "near Linton")
    assert not is_faithful("The place is near Linton.", question, "near Linton")
    assert not is_faithful("Where does the river Ouse rise near Linton.", question, "near Linton")
    assert not is_faithful("The river Ouse rises near Linton", question, "near Linton")
    assert not is_faithful("The river Ouse does not rise near Linton.", question, "near Linton")
    assert not is_faithful("The river Ouse rises near Lintonia.", question, "near Linton")


def test_a_yes_row_with_a_known_answer_gets_its_statement_and_the_sentence_that_holds_it(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(corpus, monkeypatch, f"{corpus}=1", "--short-share", "1")
    statements, pairs = script("statements"), corpus.parent / "pairs.jsonl"
    asked: list[tuple[str, str]] = []

    def write(questions: list[tuple[str, str]]) -> list[str]:
        asked.extend(questions)
        return ["The mill stands at Linton."] * len(questions)

    monkeypatch.setattr(statements, "Writer", lambda folder: write)
    monkeypatch.setattr(statements, "smollm2_path", lambda: None)
    monkeypatch.setattr(sys, "argv", ["statements.py", str(pairs), str(corpus), "-o", str(pairs)])
    statements.main()
    positive, negative = map(orjson.loads, pairs.read_bytes().splitlines())
    assert asked == [("Where does the mill stand?", "Linton")]
    assert (positive["contribution"], positive["evidence"]) == (
        "The mill stands at Linton.",
        "It rises near Linton.",
    )
    assert negative == rows[1]


def test_the_writer_continues_the_examples_as_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = script("statements")
    monkeypatch.setattr(statements, "STATEMENT_WORDS", 8)
    write = statements.Writer(statements.smollm2_path(), torch.float32)
    tokenizer, model = write._tokenizer, write._model
    text = f"{statements.EXAMPLES}Question: Where does the Ouse rise?\nAnswer: Linton\nStatement:"
    ids = tokenizer(text, return_tensors="pt").input_ids
    tokens = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    whole = tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True)
    asked = [
        ("Who built the old mill that stands at Selby?", "Ada"),
        ("Where does the Ouse rise?", "Linton"),
    ]
    assert write(asked)[1] == whole.strip().partition("\n")[0] != ""


def test_questions_have_the_passage_that_answers_or_the_one_that_seems_to(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = {"_id": "i", "text": "Who owns the mill?", "paragraph": "d"}
    write_lines(corpus / "impossible.jsonl", [impossible])
    (corpus / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t2\n")
    out = corpus / "rows.jsonl"
    counts = ("--answerable", "1", "--unanswerable", "1")
    monkeypatch.setattr(sys, "argv", ["questions.py", str(corpus), "-o", str(out), *counts])
    script("questions").main()
    rows = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [(row["query_id"], row["doc_id"]) for row in rows] == [("q", "a"), ("i", "d")]
    assert rows[1]["document"] == "Selby has a mill."
