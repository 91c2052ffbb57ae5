"""Lines and text of files: byte order marks, compression, limits, damage."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from prism_cli.errors import ConfigError, MissingDataError
from prism_cli.files.lines import byte_lines, is_cut, size_in_file
from prism_cli.files.text import read_text, text_lines

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".GZ": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def packed(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"in.txt{suffix}"
    path.write_bytes(PACKERS[suffix](data))
    return path


@pytest.mark.parametrize("suffix", PACKERS)
def test_compression_and_a_byte_order_mark_do_not_change_the_text(
    tmp_path: Path, suffix: str
) -> None:
    path = packed(tmp_path, suffix, "\ufeffä\r\n\ufeffb\n".encode())
    assert list(text_lines(path)) == ["ä", "\ufeffb"]
    assert read_text(path) == "ä\r\n\ufeffb\n"


@pytest.mark.parametrize("suffix", [ending for ending in PACKERS if ending])
def test_a_damaged_file_is_reported_with_its_last_good_line(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path, suffix, b"line\n" * 10)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(MissingDataError, match=r"damaged after line \d+ .*Restore the file"):
        read_text(path)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_trailing_garbage_of_a_compressed_file_is_reported_with_the_last_line(
    tmp_path: Path, suffix: str
) -> None:
    path = packed(tmp_path, suffix, b"line\n" * 10)
    path.write_bytes(path.read_bytes() + b"trash, and more of it")
    with pytest.raises(MissingDataError, match="damaged after line 10 "):
        list(text_lines(path))


def test_packed_data_that_breaks_in_its_first_line_is_called_damaged(tmp_path: Path) -> None:
    path = packed(tmp_path, ".gz", b"no end")
    path.write_bytes(path.read_bytes() + b"trash")
    with pytest.raises(MissingDataError, match="damaged after line 0 "):
        list(text_lines(path))


def test_byte_that_is_not_utf8_is_named_by_line_and_offset(tmp_path: Path) -> None:
    path = packed(tmp_path, "", b"a\nb\xe9c\n")
    with pytest.raises(MissingDataError, match=r"in\.txt:2: not UTF-8: byte 0xe9 at offset 1"):
        read_text(path)


def test_utf16_is_recognised(tmp_path: Path) -> None:
    path = packed(tmp_path, "", "a\n".encode("utf-16"))
    with pytest.raises(MissingDataError, match="UTF-16"):
        read_text(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_line_above_the_limit_is_truncated_and_reading_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", "1024")
    path = packed(tmp_path, suffix, b"y" * 1023 + b"\n" + b"z" * 3_000_000 + b"\nlast")
    line, long, last = byte_lines(path)
    assert (size_in_file(line), is_cut(line)) == (1024, False)
    assert (size_in_file(long), is_cut(long), len(long)) == (3_000_001, True, 1025)
    assert (last, is_cut(last)) == (b"last", False)
    with pytest.raises(MissingDataError, match=r"in\.txt.*:2: a line of more than 1024 bytes"):
        list(text_lines(path))


@pytest.mark.parametrize("name", ["0", "-5", "many", "9" * 5000, "1e6"])
def test_an_invalid_line_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PRISM_MAX_LINE_BYTES", name)
    with pytest.raises(ConfigError, match="PRISM_MAX_LINE_BYTES"):
        list(byte_lines(packed(tmp_path, "", b"a\n")))


def test_zst_with_a_long_window_is_read(tmp_path: Path) -> None:
    settings = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    path = tmp_path / "in.zst"
    path.write_bytes(zstandard.ZstdCompressor(compression_params=settings).compress(b"a\nb\n" * 9))
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    path.write_bytes(packer.compress(b"a\nb\n" * 9) + packer.flush())
    assert zstandard.get_frame_parameters(path.read_bytes()).window_size == 1 << 28
    assert len(list(text_lines(path))) == 18


def test_byte_order_mark_is_kept_on_request(tmp_path: Path) -> None:
    path = packed(tmp_path, "", "\ufeffa\n".encode())
    (line,) = byte_lines(path, keep_mark=True)
    assert line == "\ufeffa\n".encode()
