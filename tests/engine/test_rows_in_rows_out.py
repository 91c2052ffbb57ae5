"""Each input row has exactly one outcome, in order, with the reason if it was rejected."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.engine import shard
from prism_cli.engine.report import summary_lines
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.stage import RowStage
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import ChangedInputError
from prism_cli.ports import Outcome
from prism_cli.rows.row import Row
from tests.factories import jsonl, make_pair, make_pairs, read_jsonl, write_jsonl
from tests.fakes import EchoStage, RoutedStage, ScoreStage, ScriptedBatch, score_of


def run(stage: RowStage, given: Path, out: Path, **more: object) -> RunSummary:
    return run_rows(stage, [str(given)], RunOptions(output=out, quiet=True, **more))  # type: ignore[arg-type]


def rejects(out: Path) -> list[Row]:
    return read_jsonl(out.with_name(out.name + ".rejects.jsonl"))


def test_rows_keep_order_bytes_and_unknown_fields(tmp_path: Path) -> None:
    pairs = make_pairs(5000)
    given = write_jsonl(tmp_path / "in.jsonl", pairs)
    summary = run(EchoStage(), given, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == given.read_bytes()
    assert summary.counts.rows == summary.counts.done == summary.counts.written == 5000
    assert summary.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "home", "in.jsonl", "out.jsonl", "out.jsonl.manifest.json",
    ]  # fmt: skip


def test_replies_land_on_their_rows_whatever_the_batch_order(tmp_path: Path) -> None:
    pairs = [make_pair(i, document="x" * (i * 37 % 101) + str(i)) for i in range(300)]
    given = write_jsonl(tmp_path / "in.jsonl", pairs)
    run(ScoreStage(ScriptedBatch()), given, tmp_path / "out.jsonl")
    made = read_jsonl(tmp_path / "out.jsonl")
    assert made == [row | {"score": score_of(row["document"])} for row in pairs]


BROKEN = {
    "torn object": (b'{"query": "a", "document": \n', "", "not JSON"),
    "not UTF-8": (
        b'{"query": "a\xff", "document": "b"}\n',
        "",
        "not UTF-8: byte 0xff at offset 12",
    ),
    "cut UTF-8": (b'{"query": "a\xe4\xb8", "document": "b"}\n', "", "not UTF-8"),
    "lone surrogate": (b'{"query": "\\ud800", "document": "b"}\n', "", "not JSON"),
    "byte order mark": (b'\xef\xbb\xbf{"query": "a", "document": "b"}\n', "", "byte order mark"),
    "NUL byte": (b'{"query": "a\x00", "document": "b"}\n', "", "NUL"),
    "NaN": (b'{"query": "a", "document": "b", "score": NaN}\n', "", "not JSON"),
    "infinity": (b'{"query": "a", "document": "b", "score": -Infinity}\n', "", "not JSON"),
    "float beyond range": (b'{"query": "a", "document": "b", "score": 1e999}\n', "", "not JSON"),
    "integer beyond 64 bits": (
        b'{"query": "a", "document": "b", "n": 123456789012345678901234567890}\n',
        "",
        "integer 123456789012345678901234567890 needs more than 64 bits",
    ),
    "number for a string": (b'{"query": 7, "document": "b"}\n', "query", "found number 7"),
    "null for a string": (b'{"query": "a", "document": null}\n', "document", "found null"),
    "list for an id": (
        b'{"query": "a", "document": "b", "doc_id": [1]}\n',
        "doc_id",
        "found array",
    ),
    "no query": (b'{"document": "b"}\n', "query", "no such field"),
    "blank query": (b'{"query": " ", "document": "b"}\n', "query", "blank"),
    "unseen query": (b'{"query": "\\u200b", "document": "b"}\n', "query", "blank"),
    "NUL in a title": (
        b'{"query": "a", "document": "b", "title": "c\\u0000"}\n',
        "title",
        "a NUL character at offset 1",
    ),
    "half a character": (b'{"query": "\\ud800", "document": "b"}\n', "", "surrogate"),
    "array": (b"[1, 2]\n", "", "expected a JSON object, found array"),
    "two objects": (b'{"query": "a", "document": "b"} {}\n', "", "not JSON"),
    "nested beyond writing": (
        b'{"query": "a", "document": "b", "deep": ' + b"[" * 400 + b"]" * 400 + b"}\n",
        "",
        "cannot be written again",
    ),
    "nested beyond reading": (b'{"query": ' + b"[" * 5000 + b"\n", "", "not JSON"),
}


@pytest.mark.parametrize(("line", "field", "reason"), BROKEN.values(), ids=BROKEN)
def test_bad_line_is_set_aside_with_its_place(
    tmp_path: Path, line: bytes, field: str, reason: str
) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(jsonl(make_pairs(2)) + line + jsonl([make_pair(2)]))
    out = tmp_path / "out.jsonl"
    summary = run(EchoStage(), given, out)
    assert out.read_bytes() == jsonl(make_pairs(3))
    (rejected,) = rejects(out)
    assert (rejected["file"], rejected["line"], rejected["field"]) == (str(given), 3, field)
    assert reason in rejected["reason"]
    assert rejected["raw"] == line.rstrip(b"\n").decode("utf-8", "backslashreplace")
    assert (summary.counts.rows, summary.counts.done, summary.counts.rejected) == (4, 3, 1)
    assert summary.exit_code == 4


def test_good_line_with_long_digits_in_text_is_kept(tmp_path: Path) -> None:
    rows = [
        make_pair(0, document="call 123456789012345678901234567890"),
        make_pair(1, document='\\"9999999999999999999999'),
        make_pair(2, largest=2**64 - 1, smallest=-(2**63), real=1.2345678901234567e25),
    ]
    given = write_jsonl(tmp_path / "in.jsonl", rows)
    assert run(EchoStage(), given, tmp_path / "out.jsonl").counts.rejected == 0
    assert (tmp_path / "out.jsonl").read_bytes() == given.read_bytes()


def test_torn_last_line_is_named_and_a_whole_one_without_line_end_is_kept(tmp_path: Path) -> None:
    whole = jsonl(make_pairs(2))[:-1]
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_bytes(whole)
    run(EchoStage(), given, out)
    assert out.read_bytes() == whole + b"\n"
    given.write_bytes(whole[:-10])
    run(EchoStage(), given, out, overwrite=True)
    assert rejects(out)[0]["line"] == 2
    assert rejects(out)[0]["reason"].startswith("torn last line")


def test_line_of_a_megabyte_is_a_row_and_one_beyond_the_limit_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", str(2 << 20))
    big, huge = make_pair(0, document="y" * (1 << 20)), make_pair(1, document="z" * (5 << 20))
    given = write_jsonl(tmp_path / "in.jsonl", [big, huge, make_pair(2)])
    out = tmp_path / "out.jsonl"
    run(EchoStage(), given, out)
    assert out.read_bytes() == jsonl([big, make_pair(2)])
    (rejected,) = rejects(out)
    assert rejected["line"] == 2
    assert "more than 2097152 bytes" in rejected["reason"]
    assert len(rejected["raw"]) == 1 << 16


def test_line_separators_inside_text_do_not_split_rows(tmp_path: Path) -> None:
    rows = [make_pair(0, document="a\u2028b\u2029c\x85d\x0be\x0cf"), make_pair(1)]
    given = tmp_path / "in.jsonl"
    given.write_bytes("".join(f"{orjson.dumps(row).decode()}\r\n" for row in rows).encode())
    run(EchoStage(), given, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == jsonl(rows)


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(b"\n" + jsonl(make_pairs(1)) + b"  \t\r\n" + jsonl([make_pair(1)]) + b"\n\n")
    summary = run(EchoStage(), given, tmp_path / "out.jsonl")
    assert (summary.counts.rows, summary.counts.blank) == (2, 4)
    assert (tmp_path / "out.jsonl").read_bytes() == jsonl(make_pairs(2))


def test_dropped_rows_are_counted_by_reason(tmp_path: Path) -> None:
    given = write_jsonl(tmp_path / "in.jsonl", make_pairs(70))
    summary = run(EchoStage(drop="kind 3"), given, tmp_path / "out.jsonl")
    assert summary.counts.dropped == {"unwanted word": 10}
    assert summary.counts.done == 60
    assert summary.exit_code == 0


def test_one_query_id_with_two_queries_is_rejected_but_styles_differ(tmp_path: Path) -> None:
    rows = [
        make_pair(0, doc_id="a"),
        make_pair(0, doc_id="b"),
        make_pair(0, doc_id="c", query="another query"),
        make_pair(0, doc_id="d", query="item 0", query_style="keyword"),
    ]
    out = tmp_path / "out.jsonl"
    run(EchoStage(), write_jsonl(tmp_path / "in.jsonl", rows), out)
    assert [row["doc_id"] for row in read_jsonl(out)] == ["a", "b", "d"]
    assert rejects(out)[0]["line"] == 3
    assert rejects(out)[0]["field"] == "query_id"


def test_share_of_rejects_decides_the_exit_code_now_and_on_the_next_run(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(jsonl(make_pairs(98)) + b"broken\nbroken\n")
    out = tmp_path / "out.jsonl"
    assert run(EchoStage(), given, out, max_rejects=0.02).exit_code == 0
    again = run(EchoStage(), given, out, max_rejects=0.01)
    assert again.finished_before == [str(out)]
    assert again.exit_code == 4


def test_a_refusal_and_a_row_error_during_work_reject_the_row(tmp_path: Path) -> None:
    class Picky(ScriptedBatch):
        def answer(self, payloads):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return [
                replace(reply, refusal="content filter") if "Item 3 " in text else reply
                for text, reply in zip(payloads, super().answer(payloads), strict=True)
            ]

    out = tmp_path / "out.jsonl"
    run(ScoreStage(Picky()), write_jsonl(tmp_path / "in.jsonl", make_pairs(5)), out)
    assert rejects(out)[0] | {"raw": ""} == {
        "file": str(tmp_path / "in.jsonl"), "line": 4, "field": "document",
        "reason": "content filter", "raw": "",
    }  # fmt: skip
    assert [row["query_id"] for row in read_jsonl(out)] == ["q0", "q1", "q2", "q4"]


def test_named_outputs_share_one_manifest_and_see_the_survey(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(jsonl(make_pairs(5)) + b"broken\n")
    summary = run(RoutedStage(), given, tmp_path / "out")
    even = read_jsonl(tmp_path / "out" / "even.jsonl")
    odd = read_jsonl(tmp_path / "out" / "odd.jsonl")
    assert [row["query_id"] for row in even] == ["q0", "q2", "q4"]
    assert [row["query_id"] for row in odd] == ["q1", "q3"]
    assert {row["of"] for row in even + odd} == {5}
    assert summary.counts.rejected == 1
    assert (tmp_path / "out" / "parity.jsonl.manifest.json").exists()
    assert (tmp_path / "out" / "parity.jsonl.rejects.jsonl").exists()
    (tmp_path / "out" / "odd.jsonl").unlink()
    run(RoutedStage(), given, tmp_path / "out")
    assert read_jsonl(tmp_path / "out" / "odd.jsonl") == odd


class SplitStage(RowStage):
    """Each row twice, ranked over the whole output."""

    name = "twice"

    def work(self, row: Row) -> Outcome:
        return [row | {"copy": 1}, row | {"copy": 2}]

    def arrange(self, rows):  # type: ignore[no-untyped-def]
        for rank, row in enumerate(rows):
            yield row | {"rank": rank}


def test_one_row_may_become_many_and_be_arranged(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    summary = run(SplitStage(), write_jsonl(tmp_path / "in.jsonl", make_pairs(3)), out)
    assert [(row["copy"], row["rank"]) for row in read_jsonl(out)] == [
        (1, 0), (2, 1), (1, 2), (2, 3), (1, 4), (2, 5),
    ]  # fmt: skip
    assert (summary.counts.rows, summary.counts.written) == (3, 6)


numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
checked = {"title", "query_id", "doc_id", "original_query"}
good = st.builds(
    lambda query, document, more: orjson.dumps({**more, "query": query, "document": document}),
    st.text(min_size=1).filter(str.strip),
    st.text(),
    st.dictionaries(st.text().filter(lambda name: name not in checked), json_values, max_size=3),
)
line = good | st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b" "))


@given(lines=st.lists(line, max_size=30), torn=st.booleans(), window=st.integers(1, 7))
@settings(max_examples=40)
def test_any_bytes_are_accounted_for(
    tmp_path: Path, lines: list[bytes], torn: bool, window: int
) -> None:
    given = tmp_path / "any.jsonl"
    # The first line is blank: one of other bytes may say that the file is of another kind.
    raw = b"\n" + b"".join(line + b"\n" for line in lines)
    given.write_bytes(raw[:-1] if torn else raw)
    out = tmp_path / "any.out.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard, "WINDOW_ROWS", window)
        summary = run(EchoStage(), given, out, overwrite=True)
    counts = summary.counts
    whole = given.read_bytes()
    assert counts.rows + counts.blank == whole.count(b"\n") + (
        not whole.endswith(b"\n") and whole != b""
    )
    assert counts.done + counts.rejected == counts.rows
    side = out.with_name(out.name + ".rejects.jsonl")
    aside = read_jsonl(side) if side.exists() else []
    assert len(aside) == counts.rejected
    assert len(out.read_bytes().split(b"\n")) - 1 == counts.done
    aside_lines = {row["line"] for row in aside}
    kept = [
        raw
        for number, raw in enumerate(given.read_bytes().split(b"\n"), 1)
        if raw.strip() and number not in aside_lines
    ]
    made = out.read_bytes().split(b"\n")[:-1]
    assert [orjson.loads(row) for row in kept] == [orjson.loads(row) for row in made]


def test_document_id_with_another_text_for_the_same_query_is_rejected_by_its_place(
    tmp_path: Path,
) -> None:
    rows = [
        make_pair(0, doc_id="d", document="one"),
        make_pair(0, doc_id="d", document="two"),
        make_pair(0, doc_id="d", document="one"),
        make_pair(0, doc_id="d", document="one", title="T"),
        make_pair(1, doc_id="d", document="two"),
    ]
    given = write_jsonl(tmp_path / "in.jsonl", rows)
    run(EchoStage(), given, tmp_path / "out.jsonl")
    assert read_jsonl(tmp_path / "out.jsonl") == [rows[0], rows[2], rows[4]]
    set_aside = rejects(tmp_path / "out.jsonl")
    assert [(each["line"], each["field"]) for each in set_aside] == [
        (2, "doc_id"),
        (4, "doc_id"),
    ]
    assert set_aside[0]["reason"].startswith("'d' had another text before")


def test_the_first_three_different_reasons_of_rejects_are_told(tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_bytes(b"words\n" * 5 + b"a,b\n[]\n{}\n" + jsonl([make_pair(0)]))
    summary = run(EchoStage(), given, tmp_path / "out.jsonl")
    lines = [line for line in summary_lines(summary) if line.startswith("rejected ")]
    assert [line.split(":")[1] for line in lines] == ["1", "6", "7"]
    assert "looks like CSV" in lines[1]


def test_a_command_that_failed_on_every_row_does_not_block_the_corrected_one(
    tmp_path: Path,
) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_bytes(b'{"question": "q", "document": "d"}\n')
    assert run(EchoStage(), given, out, fields={"query": "qurey"}).counts.rejected == 1
    assert run(EchoStage(), given, out, fields={"query": "question"}).counts.done == 1
    with pytest.raises(ChangedInputError):
        run(EchoStage(), given, out, fields={"document": "question"})
