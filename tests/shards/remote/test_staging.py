"""Rows from and to an object store: the bytes of local files, whatever the network does."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from prism_cli.commands.options import output_path
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.engine.summary import RunSummary
from prism_cli.errors import (
    ChangedInputError,
    LockedError,
    MissingDataError,
    MissingPackageError,
    PrerequisiteError,
    PrismError,
    StorageError,
    UsageError,
)
from prism_cli.files.urls import parse_url
from prism_cli.shards.reader import find_shards
from prism_cli.shards.remote import client, requests, store
from prism_cli.shards.remote.inputs import copies_held
from tests.factories import jsonl, make_pairs, write_jsonl
from tests.fakes import EchoStage, RoutedStage
from tests.servers.s3 import KEYS, Bucket, Fault, FaultyS3

ROOT = Path(__file__).parents[3]
CONFIG = {"scale": 1.0, "seed": 0}
"""Of `start`."""
BAD = b'{"query": 1, "document": "d"}\n'
PAIRS = jsonl(make_pairs(50)) + BAD + jsonl(make_pairs(3))


def echo(
    inputs: str | list[str], output: str | None = None, stage: Any = None, **more: Any
) -> RunSummary:
    options = RunOptions(
        output=output_path(output) if output else None, quiet=True, max_rejects=1, **more
    )
    return run_rows(stage or EchoStage(), [inputs] if isinstance(inputs, str) else inputs, options)


def start(bucket: Bucket, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command that writes o.jsonl of in.jsonl, as `echo` does, in another process."""
    words = [bucket["in.jsonl"], "-o", bucket["o.jsonl"], "--kind", "echo", "--max-rejects", "1"]
    command = [sys.executable, str(ROOT / "tests/stage_runner.py"), "score", *words, "-q"]
    return subprocess.Popen(command, env=os.environ | environment)


def copies() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("prism-copies-*"))


@pytest.fixture
def local(tmp_path: Path) -> dict[str, bytes]:
    """Output and rejects of the same rows as local files."""
    (tmp_path / "in.jsonl").write_bytes(PAIRS)
    echo("in.jsonl", "local.jsonl")
    rejects = (tmp_path / "local.jsonl.rejects.jsonl").read_bytes()
    return {"": (tmp_path / "local.jsonl").read_bytes(), "rejects": rejects}


def test_objects_in_objects_out_with_the_bytes_of_local_files(
    bucket: Bucket, proxy: FaultyS3, local: dict[str, bytes], tmp_path: Path
) -> None:
    bucket.put("in.jsonl", PAIRS)
    done = echo(bucket["in.jsonl"], bucket["out/o.jsonl"])
    assert done.outputs == [bucket["out/o.jsonl"]]
    assert done.side_files == [bucket["out/o.jsonl.rejects.jsonl"]]
    assert bucket.get("out/o.jsonl") == local[""]
    rejects = bucket.get("out/o.jsonl.rejects.jsonl")
    assert rejects == local["rejects"].replace(b'"in.jsonl"', f'"{bucket["in.jsonl"]}"'.encode())
    manifest = orjson.loads(bucket.get("out/o.jsonl.manifest.json"))
    assert manifest["finished"]
    assert manifest["inputs"][0]["path"] == bucket["in.jsonl"]
    assert manifest["outputs"]["o.jsonl"]["version"]
    assert bucket.names() == [
        "in.jsonl", "out/o.jsonl", "out/o.jsonl.manifest.json", "out/o.jsonl.rejects.jsonl",
    ]  # fmt: skip
    puts = [path.rpartition("/")[2] for way, path in proxy.seen if way == "PUT"]
    assert puts == [
        ".prism-probe", ".o.jsonl.claim", ".o.jsonl.claim", "o.jsonl.rejects.jsonl", "o.jsonl",
        "o.jsonl.manifest.json",
    ]  # fmt: skip
    assert not copies()
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("folder", [True, False])
def test_a_finished_output_is_recognised_without_a_copy_of_its_input(
    bucket: Bucket, proxy: FaultyS3, folder: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(9 if folder else 1):
        bucket.put(f"in/{number} ü%.jsonl", jsonl(make_pairs(number + 1)))
    given, out = (bucket["in/"], bucket["out"]) if folder else (bucket["in/0 ü%.jsonl"], None)
    outputs = echo(given, out).outputs
    proxy.seen.clear()
    monkeypatch.setenv("PRISM_STATE", str(tmp_path / "another machine"))
    again = echo(given, out)
    assert again.finished_before == outputs
    assert not again.outputs
    assert not [path for way, path in proxy.seen if way == "GET" and path.endswith("%.jsonl")]
    bucket.put("in/0 ü%.jsonl", jsonl(make_pairs(4)))  # grown
    assert echo(given, out).outputs == outputs[:1]
    bucket.put("in/0 ü%.jsonl", jsonl(make_pairs(2, query="other")))
    with pytest.raises(ChangedInputError, match="made from other input"):
        echo(bucket["in/0 ü%.jsonl"], outputs[0])


def test_names_choose_objects_as_they_choose_files(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    for key in ("a/1.jsonl", "a/2.jsonl.gz", "a/notes.bin", "a/deep/3.jsonl"):
        bucket.put(key, jsonl(make_pairs(1)))
    bucket.put("a/1.jsonl.rejects.jsonl", b"")
    done = echo(bucket["a"], bucket["out"])
    assert done.outputs == [bucket["out/1.jsonl"]]
    assert f"{bucket['a/2.jsonl.gz']}: " in str(done.refused), "it is not packed at all"
    assert echo(bucket["a/*.jsonl"], "merged.jsonl").outputs == ["merged.jsonl"]
    assert (tmp_path / "merged.jsonl").read_bytes() == jsonl(make_pairs(1))
    assert echo(bucket["**/3.jsonl"]).outputs == [bucket["a/deep/3.echo.jsonl"]]
    for name, problem in (
        ("nothing/*.jsonl", "no object matches"),
        ("nothing/", "no such object, and no row files in a folder"),
        ("a/missing.jsonl", "no such object"),
    ):
        with pytest.raises(MissingDataError, match=f"{re.escape(bucket[name])}: {problem}"):
            echo(bucket[name], "x.jsonl")
    with pytest.raises(MissingDataError, match="there is no bucket no-such-bucket"):
        echo("s3://no-such-bucket/a/", "x.jsonl")
    with pytest.raises(StorageError, match=r"no bucket no-such-bucket.*Create it"):
        echo(bucket["a/*.jsonl"], "s3://no-such-bucket/out/")
    assert not list(tmp_path.rglob("no-such-bucket/out/*.manifest.json"))


def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="profiles are read by boto3 (extra remote)")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_PROFILE", "nope")
    with pytest.raises(PrerequisiteError, match=r"credentials: .*nope.*Correct AWS_PROFILE"):
        client._profile()


def test_parquet_goes_in_and_out(bucket: Bucket, proxy: FaultyS3, tmp_path: Path) -> None:
    bucket.put("in.jsonl", jsonl(make_pairs(30)))
    echo(bucket["in.jsonl"], bucket["all.parquet"])
    assert bucket.get("all.parquet")[:4] == b"PAR1"
    echo(bucket["all.parquet"], "back.jsonl")
    assert (tmp_path / "back.jsonl").read_bytes() == jsonl(
        [row | {"note": {"kept": [float(n), None, 0.5], "text": "grüße, 世界"}}
         for n, row in enumerate(make_pairs(30))]
    )  # fmt: skip


def test_named_outputs_go_into_one_folder(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", jsonl(make_pairs(6)))
    echo(bucket["in.jsonl"], bucket["parts/"], RoutedStage())
    names = [key for key in bucket.names() if key.startswith("parts/")]
    assert len([name for name in names if "manifest" not in name]) == 2


def test_file_urls_are_local_paths(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in ü.jsonl", make_pairs(2))
    done = echo(f"file://{tmp_path}/in%20ü.jsonl", f"file://{tmp_path}/out.jsonl")
    assert done.outputs == [str(tmp_path / "out.jsonl")]
    with pytest.raises(UsageError, match="expected file:///PATH"):
        echo("file://host/in.jsonl", "x.jsonl")


FAULTS = [
    [Fault("503", "GET", "in.jsonl", 2), Fault("503", "HEAD", "", 2), Fault("503", "PUT", "", 2)],
    [Fault("cut download", "GET", "in.jsonl", 2)],
    [Fault("slow", "GET", "in.jsonl", 1)],
    [Fault("cut upload", "PUT", "o.jsonl", 1), Fault("cut upload", "PUT", "manifest.json", 1)],
    [Fault("lost reply", "PUT", "o.jsonl", 1), Fault("lost reply", "PUT", "manifest.json", 1)],
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults[0].kind)
def test_faults_of_the_network_do_not_change_a_byte(
    bucket: Bucket,
    proxy: FaultyS3,
    monkeypatch: pytest.MonkeyPatch,
    local: dict[str, bytes],
    faults: list[Fault],
) -> None:
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)  # the library may repeat nothing, too
    bucket.put("in.jsonl", PAIRS)
    proxy.faults = [Fault(fault.kind, fault.method, fault.ending, fault.times) for fault in faults]
    echo(bucket["in.jsonl"], bucket["o.jsonl"])
    assert not any(fault.times for fault in proxy.faults)
    assert bucket.get("o.jsonl") == local[""]
    assert orjson.loads(bucket.get("o.jsonl.manifest.json"))["finished"]
    assert echo(bucket["in.jsonl"], bucket["o.jsonl"]).finished_before


@pytest.mark.parametrize(("method", "ending"), [("GET", "in.jsonl"), ("PUT", "o.jsonl")])
def test_a_store_that_stays_down_ends_the_run_and_the_same_command_goes_on(
    bucket: Bucket,
    proxy: FaultyS3,
    monkeypatch: pytest.MonkeyPatch,
    local: dict[str, bytes],
    method: str,
    ending: str,
) -> None:
    monkeypatch.setattr(requests, "RETRY_SECONDS", 0.2)
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)
    bucket.put("in.jsonl", PAIRS)
    proxy.faults = [Fault("503", method, ending, 1000)]
    with pytest.raises(StorageError) as down:
        echo(bucket["in.jsonl"], bucket["o.jsonl"])
    assert str(down.value).startswith(f"{bucket[ending]}: the store failed ")
    assert "503" in str(down.value)
    assert not [key for key in bucket.names() if key != "in.jsonl" and "rejects" not in key]
    assert not copies()
    proxy.faults = []
    assert echo(bucket["in.jsonl"], bucket["o.jsonl"]).exit_code == 0
    assert bucket.get("o.jsonl") == local[""]


def test_an_object_that_changes_before_it_is_read_is_noticed(
    bucket: Bucket, proxy: FaultyS3
) -> None:
    bucket.put("in.jsonl", PAIRS)
    change = Fault("", "GET", "in.jsonl", call=lambda: bucket.put("in.jsonl", PAIRS * 2))
    proxy.faults = [change]
    with pytest.raises(ChangedInputError, match=rf"{bucket['in.jsonl']}: changed after it was li"):
        echo(bucket["in.jsonl"], bucket["o.jsonl"])
    assert bucket.names() == ["in.jsonl"]
    assert echo(bucket["in.jsonl"], bucket["o.jsonl"]).counts.done == 106


def test_an_output_that_is_missing_or_half_is_made_again(
    bucket: Bucket, proxy: FaultyS3, local: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("in.jsonl", PAIRS)
    echo(bucket["in.jsonl"], bucket["o.jsonl"])
    for data in (local[""][:100], local[""].replace(b"item 0", b"item X", 1)):
        bucket.put("o.jsonl", data)
        assert echo(bucket["in.jsonl"], bucket["o.jsonl"]).outputs
        assert f"{bucket['o.jsonl']}: expected {len(local['']):,} bytes" in capsys.readouterr().err
        assert bucket.get("o.jsonl") == local[""]
    bucket.delete("o.jsonl")
    assert echo(bucket["in.jsonl"], bucket["o.jsonl"]).outputs
    assert bucket.get("o.jsonl") == local[""]


def test_an_output_of_another_program_is_left(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", PAIRS)
    bucket.put("o.jsonl", b"precious")
    with pytest.raises(ChangedInputError, match=f"{bucket['o.jsonl']}: exists, and no manifest "):
        echo(bucket["in.jsonl"], bucket["o.jsonl"])
    assert bucket.get("o.jsonl") == b"precious"
    echo(bucket["in.jsonl"], bucket["o.jsonl"], overwrite=True)
    assert bucket.get("o.jsonl") == jsonl(make_pairs(50) + make_pairs(3))


@pytest.mark.parametrize("ending", ["o.jsonl", "o.jsonl.manifest.json"])
def test_a_manifest_that_appears_meanwhile_wins(
    bucket: Bucket, proxy: FaultyS3, ending: str
) -> None:
    bucket.put("in.jsonl", jsonl(make_pairs(5)))

    def other() -> None:
        bucket.put("o.jsonl", b"of the other run")
        bucket.put("o.jsonl.manifest.json", b"{}")

    proxy.faults = [Fault("", "PUT", ending, call=other)]
    with pytest.raises(LockedError, match="another run has published there") as lost:
        echo(bucket["in.jsonl"], bucket["o.jsonl"])
    assert lost.value.exit_code == 75
    assert bucket.get("o.jsonl") == b"of the other run"
    assert bucket.get("o.jsonl.manifest.json") == b"{}"


def test_a_manifest_without_its_output_wins_too(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", jsonl(make_pairs(5)))
    other = Fault("", "GET", "in.jsonl", call=lambda: bucket.put("o.jsonl.manifest.json", b"{}"))
    proxy.faults = [other]
    with pytest.raises(LockedError):
        echo(bucket["in.jsonl"], bucket["o.jsonl"])
    assert bucket.names() == ["in.jsonl", "o.jsonl.manifest.json"]


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_write_replaces_only_what_it_expects(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    monkeypatch.setattr(store, "WHOLE_BYTES", 0 if in_parts else 100)
    (tmp_path / "file").write_bytes(b"ours")
    bucket.put("o.jsonl", b"theirs")
    name = parse_url(bucket["o.jsonl"])
    theirs = store.object_state(name)
    assert theirs
    with pytest.raises(requests.OtherState):
        store.put(name, tmp_path / "file", None)
    assert bucket.get("o.jsonl") == b"theirs"
    ours = store.put(name, tmp_path / "file", theirs)
    with pytest.raises(requests.OtherState):
        store.put(name, tmp_path / "file", theirs)
    store.put(name, tmp_path / "file", ours)
    bucket.delete("o.jsonl")
    with pytest.raises(requests.OtherState):
        store.put(name, tmp_path / "file", ours)
    assert not bucket.names()


def test_an_input_is_not_replaced_by_its_output(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", PAIRS)
    bucket.put("o.jsonl.rejects.jsonl", PAIRS)
    for given, out in (("in.jsonl", "in.jsonl"), ("o.jsonl.rejects.jsonl", "o.jsonl")):
        with pytest.raises(UsageError, match=f"{bucket[given]}: is an input of this command"):
            echo(bucket[given], bucket[out])
    assert not [path for way, path in proxy.seen if way == "PUT"]


def test_a_second_copy_is_the_same_file(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put("in.jsonl", PAIRS)
    (shard,) = find_shards([bucket["in.jsonl"]])
    seen = shard.digest()
    assert b"".join(shard.lines(seen)) == PAIRS, "ChangedInputError otherwise"
    assert proxy.requests("GET", "in.jsonl") == 2
    with copies_held():
        assert shard.digest() == seen
        assert b"".join(shard.lines(seen)) == PAIRS
    assert proxy.requests("GET", "in.jsonl") == 3


def test_a_run_on_another_machine_is_refused_while_this_one_works(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    bucket.put("in.jsonl", PAIRS)
    codes: list[int] = []

    def other() -> None:
        codes.append(start(bucket, PRISM_STATE=str(tmp_path / "other machine")).wait(60))

    proxy.faults = [Fault("", "PUT", "/o.jsonl", call=other)]
    done = echo(bucket["in.jsonl"], bucket["o.jsonl"], config=CONFIG)
    assert codes == [LockedError.exit_code]
    assert done.outputs == [bucket["o.jsonl"]]
    assert not [name for name in bucket.names() if name.startswith(".")]


@pytest.mark.parametrize(
    "at",
    [
        ("", "GET", "in.jsonl"),
        ("", "PUT", ".rejects.jsonl"),
        ("dropped", "PUT", "o.jsonl"),
        ("", "PUT", "o.jsonl"),
        ("dropped", "PUT", ".manifest.json"),
        ("", "PUT", ".manifest.json"),
    ],
    ids="-".join,
)
def test_kill_at_any_request_then_the_same_command(
    bucket: Bucket, proxy: FaultyS3, local: dict[str, bytes], at: tuple[str, str, str]
) -> None:
    bucket.put("in.jsonl", PAIRS)
    process: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        os.kill(process[0].pid, signal.SIGKILL)

    proxy.faults = [Fault(*at, call=kill)]
    process.append(start(bucket))
    assert process[0].wait(60) == -signal.SIGKILL
    echo(bucket["in.jsonl"], bucket["o.jsonl"], config=CONFIG)
    assert bucket.get("o.jsonl") == local[""]
    assert orjson.loads(bucket.get("o.jsonl.manifest.json"))["finished"]
    echo(bucket["in.jsonl"], "another.jsonl")
    assert not copies(), "those of the killed process are removed too"


@pytest.mark.parametrize(("method", "ending"), [("GET", "in.jsonl"), ("PUT", "o.jsonl")])
def test_a_signal_stops_a_run_that_waits_for_the_store(
    bucket: Bucket, proxy: FaultyS3, local: dict[str, bytes], method: str, ending: str
) -> None:
    bucket.put("in.jsonl", PAIRS)
    process: list[subprocess.Popen[bytes]] = []
    stop = Fault("503", method, ending, call=lambda: process[0].send_signal(signal.SIGTERM))
    proxy.faults = [stop, Fault("503", method, ending, 1000)]
    process.append(start(bucket))
    assert process[0].wait(30) == 128 + signal.SIGTERM
    assert not copies()
    assert "o.jsonl.manifest.json" not in bucket.names()
    proxy.faults = []
    echo(bucket["in.jsonl"], bucket["o.jsonl"], config=CONFIG)
    assert bucket.get("o.jsonl") == local[""]


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAEXAMPLE:hunter2@bucket/in.jsonl",
        "s3://bucket/in.jsonl?X-Amz-Signature=hunter2",
        "https://bucket.s3.amazonaws.com/in.jsonl?X-Amz-Signature=hunter2",
        "s3:///in.jsonl",
        "s3://bucket/a//in.jsonl",
        "s3://bucket/../in.jsonl",
    ],
)
@pytest.mark.parametrize("side", ["input", "output"])
def test_names_with_secrets_and_names_that_cannot_be_staged_are_refused(
    tmp_path: Path, url: str, side: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    with pytest.raises(UsageError) as refused:
        echo(url, "x.jsonl") if side == "input" else echo("in.jsonl", url)
    assert "hunter2" not in str(refused.value)


def test_credentials_are_in_no_file_and_no_message(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("in.jsonl", PAIRS)
    echo(bucket["in.jsonl"], bucket["o.jsonl"])
    monkeypatch.setattr(requests, "RETRY_SECONDS", 0.0)
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)
    client._client.cache_clear()
    proxy.faults = [Fault("503", "HEAD", "", 9)]
    with pytest.raises(PrismError) as down:
        echo(bucket["in.jsonl"], bucket["o.jsonl"])
    texts = [str(down.value).encode(), *map(bucket.get, bucket.names())]
    texts += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for value in (KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], proxy.url):
        assert not [text for text in texts if value.encode() in text]


def test_without_the_library_the_install_line_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    write_jsonl(tmp_path / "in.jsonl", make_pairs(1))
    for given, out in (("s3://b/in.jsonl", "o.jsonl"), ("in.jsonl", "s3://b/o.jsonl")):
        with pytest.raises(MissingPackageError, match=r"s3://b/.*needs obstore.*\[remote\]"):
            echo(given, out)
