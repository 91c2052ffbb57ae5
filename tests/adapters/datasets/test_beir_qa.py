"""The nine sets: from BEIR's host, from copies in two layouts on the hub, or unavailable."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pyarrow
import pyarrow.parquet
import pytest

from prism_cli.adapters.datasets import beir_qa, download
from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.datasets.beir_hub import copies
from tests.factories import read_jsonl, write_jsonl
from tests.mini import MINI

COMMIT = "c" * 40


class Host(SimpleHTTPRequestHandler):
    """A folder as BEIR's site (/site) and as a hub (/api/datasets, /datasets/…/resolve)."""

    root: Path
    asked: list[str]
    broken: bool

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        Host.asked.append(path)
        if path.startswith("/api/datasets/"):
            self._tell(path.removeprefix("/api/datasets/"))
            return
        file = self.root / path.lstrip("/").replace(f"/resolve/{COMMIT}", "")
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if Host.broken and not start:  # the connection ends in the middle
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(data[start:])

    def _tell(self, name: str) -> None:
        folder = self.root / "datasets" / name
        if not folder.is_dir():
            self.send_error(404)
            return
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings = [{"rfilename": str(path.relative_to(folder))} for path in files]
        answer = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        body = json.dumps({**answer, "downloads": 0, "likes": 0, "disabled": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder that the hosts serve: site/NAME.zip, datasets/OWNER/NAME/…"""
    Host.root, Host.asked, Host.broken = tmp_path / "served", [], False
    (Host.root / "site").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(beir_qa, "URL", f"{url}/site/{{name}}.zip")
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield Host.root
        server.shutdown()


@pytest.fixture
def fiqa() -> beir_qa.QaSet:
    """The bundled set under the name `fiqa`."""
    data = BeirSet(MINI)
    grades = data.qrels("test")
    return replace(
        beir_qa.chosen_sets(["fiqa"])[0],
        queries=len(grades),
        documents=sum(1 for _ in data.corpus()),
        judgements=sum(map(len, grades.values())),
    )


def pack(root: Path, dataset: beir_qa.QaSet) -> beir_qa.QaSet:
    """The host's file of a set; the set with its MD5."""
    shutil.copytree(MINI, root.parent / "packed" / dataset.name)
    shutil.make_archive(str(root / "site" / dataset.name), "zip", root.parent / "packed")
    packed = (root / "site" / f"{dataset.name}.zip").read_bytes()
    return replace(dataset, md5=hashlib.md5(packed).hexdigest())


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def configs(folder: Path, **files: tuple[str, str]) -> None:
    """Return a README with a data set's configs: name -> (split, path)."""
    lines = ["---", "configs:"]
    for name, (split, path) in files.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        lines += [f"  - split: {split}", f"    path: {path}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def plain(name: str) -> list[dict[str, Any]]:
    return [
        {"_id": row["_id"], "title": row.get("title", ""), "text": row["text"]}
        for row in read_jsonl(MINI / name)
    ]


def beir_layout(root: Path, name: str = "fiqa") -> Path:
    """BeIR/NAME with parquet configs, BeIR/NAME-qrels with a TSV file."""
    folder = root / "datasets" / "BeIR" / name
    parquet(folder / "corpus" / "corpus-00000-of-00001.parquet", plain("corpus.jsonl"))
    parquet(folder / "queries" / "queries-00000-of-00001.parquet", plain("queries.jsonl"))
    corpus, queries = ("corpus", "corpus/*"), ("queries", "queries/*")
    configs(folder, corpus=corpus, queries=queries)
    qrels = folder.with_name(f"{name}-qrels")
    qrels.mkdir()
    shutil.copy(MINI / "qrels" / "test.tsv", qrels / "test.tsv")
    return folder


def mteb_layout(root: Path, name: str = "fiqa") -> Path:
    """mteb/NAME with JSONL configs."""
    folder = root / "datasets" / "mteb" / name
    (folder / "qrels").mkdir(parents=True)
    write_jsonl(folder / "corpus.jsonl", plain("corpus.jsonl"))
    write_jsonl(folder / "queries.jsonl", plain("queries.jsonl"))
    grades = BeirSet(MINI).qrels("test")
    judged = [
        {"query-id": query, "corpus-id": doc, "score": float(grade)}
        for query, grade_of in grades.items()
        for doc, grade in grade_of.items()
    ]
    write_jsonl(folder / "qrels" / "test.jsonl", judged)
    names = {"corpus": ("corpus", "corpus.jsonl"), "queries": ("queries", "queries.jsonl")}
    configs(folder, default=("test", "qrels/test.jsonl"), **names)
    return folder


def same_content(dataset: BeirSet) -> None:
    data = BeirSet(MINI)
    assert list(dataset.corpus()) == list(data.corpus())
    assert dataset.judged_queries("test") == data.judged_queries("test")
    assert dataset.qrels("test") == data.qrels("test")


def test_the_hosts_archive_is_unpacked(root: Path, fiqa: beir_qa.QaSet, tmp_path: Path) -> None:
    fiqa_here = pack(root, fiqa)
    messages: list[str] = []
    (dataset,), missing = beir_qa.obtain([fiqa_here], tmp_path / "data", messages.append)
    same_content(dataset)
    assert missing == {}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["fiqa"]
    assert dataset.origin
    assert fiqa_here.md5 in dataset.origin
    assert messages == [f"fiqa: downloaded from {dataset.origin}"]


@pytest.mark.parametrize("layout", [beir_layout, mteb_layout])
def test_a_copy_on_the_hub_replaces_an_unreachable_host(
    root: Path, fiqa: beir_qa.QaSet, tmp_path: Path, layout: Any
) -> None:
    name = layout(root).relative_to(root / "datasets")
    (dataset,), missing = beir_qa.obtain([fiqa], tmp_path / "data")
    assert missing == {}
    same_content(dataset)
    assert dataset.origin
    assert f"{name}@{COMMIT}" in dataset.origin
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["fiqa"]


def test_a_file_with_another_checksum_is_replaced_by_a_copy(
    root: Path, fiqa: beir_qa.QaSet, tmp_path: Path
) -> None:
    pack(root, fiqa)
    beir_layout(root)
    messages: list[str] = []
    (dataset,), _ = beir_qa.obtain([fiqa], tmp_path / "data", messages.append)
    assert "MD5" in messages[0]
    assert "not the published file" in messages[0]
    assert dataset.origin
    assert dataset.origin.startswith("BeIR/fiqa@")


@pytest.mark.parametrize("what", ["documents", "queries", "judgements"])
def test_a_copy_with_other_counts_is_refused(
    root: Path, fiqa: beir_qa.QaSet, tmp_path: Path, what: str
) -> None:
    beir_layout(root)
    recorded = getattr(fiqa, what)
    other: Any = {what: recorded + 1}
    datasets, missing = beir_qa.obtain([replace(fiqa, **other)], tmp_path / "data")
    assert datasets == []
    assert (
        f"not the published set: {recorded:,} {what}, expected {recorded + 1:,}" in missing["fiqa"]
    )
    assert "fiqa.zip: HTTP 404" in missing["fiqa"]  # each host's reason
    assert "mteb/fiqa: the hub answers 404" in missing["fiqa"]
    assert not (tmp_path / "data" / "fiqa").exists()


def test_hosts_that_cannot_be_reached_are_asked_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(beir_qa, "URL", "http://127.0.0.1:9/{name}.zip")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    urls: list[str] = []
    real_download = download.download
    monkeypatch.setattr(
        beir_qa, "download", lambda url, *a, **k: urls.append(url) or real_download(url, *a, **k)
    )
    shutil.copytree(MINI, tmp_path / "data" / "nq")
    datasets, missing = beir_qa.obtain(beir_qa.chosen_sets([]), tmp_path / "data")
    assert [dataset.name for dataset in datasets] == ["nq"]
    assert len(missing) == 8
    assert len(urls) == 1
    assert "http://127.0.0.1:9: ConnectError" in missing["scifact"]
    assert "hub" in missing["scifact"] or "cannot reach" in missing["scifact"]


def test_nothing_is_left_where_nothing_could_be_fetched(
    root: Path, fiqa: beir_qa.QaSet, tmp_path: Path
) -> None:
    assert beir_qa.obtain([fiqa], tmp_path / "data")[0] == []
    assert not (tmp_path / "data").exists()


def test_a_broken_download_resumes_where_it_stopped(root: Path, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (root / "site" / "file.bin").write_bytes(content)
    Host.broken = True
    url = beir_qa.URL.format(name="file").replace(".zip", ".bin")
    download.download(url, tmp_path / "file.bin", seconds=60)
    assert (tmp_path / "file.bin").read_bytes() == content
    assert len(Host.asked) == 2
    assert not (tmp_path / "file.bin.part").exists()


def test_a_download_has_a_size_limit_and_keeps_its_partial_file(root: Path, tmp_path: Path) -> None:
    content = bytes(1 << 20)
    (root / "site" / "file.bin").write_bytes(content)
    url = beir_qa.URL.format(name="file").replace(".zip", ".bin")
    with pytest.raises(download.PrerequisiteError, match="incomplete within its time limit"):
        download.download(url, tmp_path / "file.bin", seconds=-1)
    part = tmp_path / "file.bin.part"
    assert 0 < part.stat().st_size < len(content)
    download.download(url, tmp_path / "file.bin", seconds=60)
    assert (tmp_path / "file.bin").read_bytes() == content


def test_the_hub_cache_is_read_in_offline_mode(
    root: Path,
    fiqa: beir_qa.QaSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    folder = cache / "datasets--mteb--fiqa"
    shutil.copytree(mteb_layout(root), folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    (dataset,), _ = beir_qa.obtain([fiqa], tmp_path / "data")
    same_content(dataset)


@pytest.mark.parametrize("dataset", beir_qa.NINE, ids=lambda dataset: dataset.name)
def test_every_set_has_two_copies_and_published_counts(dataset: beir_qa.QaSet) -> None:
    (first, judgements), (second, none) = copies(dataset.name)
    assert (first, judgements) == (f"BeIR/{dataset.name}", f"BeIR/{dataset.name}-qrels")
    assert second.startswith("mteb/")
    assert none is None
    assert len(dataset.md5) == 32
    assert dataset.judgements >= dataset.queries
