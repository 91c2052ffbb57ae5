"""Files whose content differs from their names, and lines above the limit, in every format."""

import bz2
import csv
import gzip
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.datasets.beir_files import read_qrels
from prism_cli.adapters.datasets.files import data_files
from prism_cli.adapters.first_stages.trec_run import TrecRunFirstStage
from prism_cli.commands.beir_folders import is_beir
from prism_cli.configs.load import read_toml
from prism_cli.engine.jobs import plan_jobs
from prism_cli.errors import MissingDataError, PrismError, UsageError
from prism_cli.evaluation.metrics_file import read_metrics
from prism_cli.evaluation.quality.filled_sheets import read_sheets
from prism_cli.evaluation.quality.gold_rows import GoldRows
from prism_cli.files.lines import byte_lines
from prism_cli.files.text import read_text, text_lines
from prism_cli.rows.row import Rejected
from prism_cli.shards.reader import read_rows

MARK = b"\xef\xbb\xbf"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def test_a_zst_window_above_what_zstd_reads_is_not_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "in.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    frame = bytearray(packer.compress(b"text\n") + packer.flush())
    frame[5] = (31 - 10) << 3  # the byte of the window size: 2 GiB
    path.write_bytes(frame)
    assert list(text_lines(path)) == ["text"]
    frame[5] = (32 - 10) << 3
    path.write_bytes(frame)
    with pytest.raises(PrismError, match="needs a window of more than 2 GiB") as raised:
        list(text_lines(path))
    assert "damaged" not in str(raised.value)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named_with_and_without_its_mark(tmp_path: Path, code: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes("q1 Q0 d1 1 2.0 x\n".encode(code))
    for read in (read_text, lambda path: list(text_lines(path))):
        with pytest.raises(PrismError, match=r"UTF-16.*[Ss]ave the file as UTF-8"):
            read(path)


def test_a_nul_byte_in_text_is_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_bytes(b"q1 Q0 d1 1 2.0 x\nq1 Q0 d2\0 2 1.0 x\n")
    with pytest.raises(PrismError, match=r"run\.trec:2: a NUL byte at offset 8"):
        list(TrecRunFirstStage(path).search([("q1", "q")], 10))


def test_a_text_is_read_once_as_pipes_require(tmp_path: Path) -> None:
    there, here = os.pipe()
    os.write(here, MARK + b"a rubric\n")
    os.close(here)
    assert read_text(Path(f"/dev/fd/{there}")) == "a rubric\n"
    os.close(there)


def test_a_whole_text_above_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    path = tmp_path / "prism.toml.gz"
    path.write_bytes(gzip.compress(b"# x\n" * 1_000_000))
    with pytest.raises(PrismError, match=r"prism\.toml\.gz: a file of more than 1024 bytes"):
        read_text(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_every_part_of_a_beir_set_and_a_run_may_be_packed_and_marked(
    tmp_path: Path, suffix: str
) -> None:
    (tmp_path / "qrels").mkdir()

    def write(name: str, data: bytes) -> Path:
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(PACKERS[suffix](MARK + data))
        return path

    write("corpus.jsonl", b'{"_id": "d1", "text": "x"}\r\n')
    write("queries.jsonl", b'{"_id": "q1", "text": "q"}\r\n')
    write("qrels/test.tsv", b"q1\td1\t1\r\n")
    beir = BeirSet(tmp_path)
    write("qrels/Dev.tsv", b"q1\td1\t1\r\n")
    assert beir.splits == ["Dev", "test"]
    assert is_beir(str(tmp_path))
    with pytest.raises(MissingDataError, match="is a BEIR folder"):
        data_files(str(tmp_path), "train")
    with pytest.raises(UsageError, match="a BEIR folder"):
        plan_jobs("relabel", [], [str(write("qrels/rows.jsonl", b"{}"))], tmp_path)
    assert beir.qrels("test") == {"q1": {"d1": 1}}
    assert list(beir.queries()) == [("q1", "q")]
    assert [document.doc_id for document in beir.corpus()] == ["d1"]
    run = TrecRunFirstStage(write("run.trec", b"q1 Q0 d1 1 2.0 x\r\n"))
    assert list(run.search([("q1", "q")], 10)) == [[("d1", 2.0)]]


@pytest.mark.parametrize("name", ["run", "qrels"])
def test_latin_1_is_refused_by_line_and_never_decoded_to_another_id(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    lines = {"run": "q1 Q0 é 1 2.0 x\n", "qrels": "q1 0 é 1\n"}
    path.write_bytes(lines[name].replace("é", "d").encode() + lines[name].encode("latin-1"))
    with pytest.raises(PrismError, match=f"{name}:2: not UTF-8: byte 0xe9"):
        READERS[name](path)


def read_all(path: Path) -> tuple[list[str], list[Rejected]]:
    aside: list[Rejected] = []
    return [
        row.get("document", "") for _, row in read_rows([str(path)], on_reject=aside.append)
    ], aside


@pytest.mark.parametrize("suffix", ["", *PACKERS])
@pytest.mark.parametrize("kind", ["plain", "quoted"])
def test_a_csv_record_above_the_limit_is_one_reject_and_reading_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kind: str
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    big = {"plain": b"x" * 500_000, "quoted": b'"' + b"x" * 500_000 + b'"'}[kind]
    data = b"query,document\nq,one\nq," + big + b"\nq,two\n"
    path = tmp_path / f"in.csv{suffix}"
    path.write_bytes(PACKERS.get(suffix, bytes)(data))
    documents, aside = read_all(path)
    assert documents == ["one", "two"]
    assert (aside[0].ref.line, len(aside)) == (3, 1)
    assert "a line of more than 1024 bytes; PRISM_MAX_LINE_BYTES" in aside[0].reason
    assert len(aside[0].raw) <= 1 << 16


@pytest.mark.parametrize("name", ["in.json", "in.txt", "in.csv"])
def test_the_configured_limit_applies_to_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(
        orjson.dumps([{"query": "q", "document": "x" * 3_000_000}])
        if name == "in.json"
        else b"x" * 3_000_000
    )
    if name == "in.json":
        assert len(read_all(path)[0]) == 1
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    try:
        rows, aside = read_all(path)
        reasons = [reject.reason for reject in aside]
        assert rows == []
    except PrismError as error:
        reasons = [str(error)]
    assert "of more than 1024 bytes" in reasons[0]


READERS: dict[str, Callable[[Path], object]] = {
    "text": read_text,
    "toml": read_toml,
    "sheet": lambda path: read_sheets([str(path)]),
    "metrics": read_metrics,
    "gold": lambda path: GoldRows([str(path)]),
    "qrels": read_qrels,
    "run": lambda path: list(TrecRunFirstStage(path).search([("q", "q")], 3)),
    "rows": read_all,
}
SUFFIXES = ["", ".jsonl", ".json", ".csv", ".tsv", ".gz", ".bz2", ".xz", ".zst", ".parquet"]
SNIPPETS = st.sampled_from(
    [
        MARK,
        b"\xff\xfe",
        b"\n",
        b'"',
        b"{",
        b"}",
        b"[",
        b",",
        b"\t",
        b"\0",
        b"q Q0 d 1 2 x",
        b'{"a":1}',
    ]
)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=40)
@given(st.sampled_from(SUFFIXES), st.lists(SNIPPETS | st.binary(max_size=6), max_size=12))
def test_any_bytes_are_read_or_refused_with_a_message(
    tmp_path: Path, reader: str, suffix: str, pieces: list[bytes]
) -> None:
    path = tmp_path / f"any{suffix}"
    data = b"".join(pieces)
    for content in (data, PACKERS.get(suffix, bytes)(data)):
        path.write_bytes(content)
        try:
            READERS[reader](path)
        except PrismError as error:
            reason = error
        else:
            continue
        assert reason.exit_code in (2, 3)
        assert str(reason)


def test_csv_written_by_the_library_is_read_back(tmp_path: Path) -> None:
    rows = [("a,b", 'say "x"\r\nand more'), ("é", "\ttab")]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("query", "document"), *rows])
    path = tmp_path / "in.csv"
    path.write_bytes(MARK + text.getvalue().encode())
    pairs = [(row["query"], row["document"]) for _, row in read_rows([str(path)])]
    assert pairs == rows


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.trec"])
def test_compressed_data_under_a_plain_name_is_reported_with_the_right_suffix(
    tmp_path: Path, suffix: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(PACKERS[suffix](b'{"query": "q", "document": "d"}\n'))
    with pytest.raises(PrismError, match=rf"data; nothing was read\. Name the file {suffix}"):
        list(text_lines(path)) if name == "in.trec" else list(read_rows([str(path)]))


@pytest.mark.parametrize("damage", [b"\0\n", b"\0" * 64 + b"\n", b"\0\0\0\0{}\n", b"\0a\0b\n"])
def test_nul_bytes_of_a_damaged_line_do_not_make_a_file_utf_16(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(damage + b'{"query": "q"}\n')
    assert list(byte_lines(path)) == [damage, b'{"query": "q"}\n']


@pytest.mark.parametrize(("suffix", "pack"), [(".bz2", bz2.compress), (".xz", lzma.compress)])
def test_bytes_after_a_stream_are_another_stream_padding_or_damage(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(pack(b"a\n") + pack(b"b\n"))
    assert list(byte_lines(path)) == [b"a\n", b"b\n"]
    path.write_bytes(pack(b"a\n") + bytes(8))
    assert list(byte_lines(path)) == [b"a\n"]
    damaged = bytearray(pack(b"b\n"))
    damaged[2] ^= 0xFF
    for behind in (b"junkjunk", bytes(damaged), pack(b"b\n")[:-3]):
        path.write_bytes(pack(b"a\n") + behind)
        with pytest.raises(PrismError, match="damaged"):
            list(byte_lines(path))
