"""A store that refuses, or cannot be reached, is told at once, with what to set."""

import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from prism_cli.errors import PrerequisiteError, StorageError, UsageError
from prism_cli.files.urls import parse_url
from prism_cli.shards.remote import client, requests, store
from prism_cli.shards.remote.requests import stoppable
from tests.door import prism
from tests.servers.s3 import KEYS, Bucket, Fault, FaultyS3


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("403 AccessDenied", r"refuses reading \(AccessDenied\).*s3:GetObject and s3:ListBucket"),
        ("403 InvalidAccessKeyId", r"not accept the credentials \(Inv.*AWS_PROFILE, or AWS_ACCESS"),
        ("403 SignatureDoesNotMatch", "does not accept the credentials .*AWS_SECRET_ACCESS_KEY"),
        ("400 ExpiredToken", "have expired .*aws sso login"),
        ("403 RequestTimeTooSkewed", "this machine's clock differs"),
        ("400 AuthorizationHeaderMalformed", r"is in another region\. Set AWS_DEFAULT_REGION"),
        ("301 PermanentRedirect", r"is in another region\. Set AWS_DEFAULT_REGION"),
        ("400 KeyTooLongError", "the store answered .*400 Bad Request"),
    ],
)
@pytest.mark.parametrize("by_folder", [True, False])
def test_a_refusal_names_what_to_set(
    bucket: Bucket, proxy: FaultyS3, kind: str, told: str, by_folder: bool
) -> None:
    proxy.faults = [Fault(kind, method, times=9) for method in ("HEAD", "GET")]
    name = parse_url(bucket["in/" if by_folder else "in.jsonl"])
    told = told.replace("refuses reading", "refuses listing") if by_folder else told
    told = told.replace("s3:GetObject and ", "") if by_folder else told
    with pytest.raises(PrerequisiteError, match=told) as refused:
        list(store.objects_below(name)) if by_folder else store.object_state(name)
    assert str(refused.value).startswith(f"{name}: ")
    assert not [value for value in KEYS.values() if value in str(refused.value)]
    assert len(proxy.seen) <= 2


@pytest.mark.parametrize("kind", ["503 SlowDown", "409 ConditionalRequestConflict", "cut upload"])
def test_a_failure_that_may_pass_is_repeated(bucket: Bucket, proxy: FaultyS3, kind: str) -> None:
    proxy.faults = [Fault(kind, "PUT", times=2)]
    store.put(parse_url(bucket["o"]), b"data", None)
    assert bucket.get("o") == b"data"


def test_a_store_without_conditional_writes_is_told(bucket: Bucket, proxy: FaultyS3) -> None:
    proxy.faults = [Fault("501 NotImplemented", "PUT", times=9)]
    with pytest.raises(PrerequisiteError, match=r"cannot do what writing needs .*If-None-Match"):
        store.put(parse_url(bucket["o"]), b"data", None)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Environment with keys, for endpoints that nobody has asked yet."""
    pytest.importorskip("obstore", reason="needs prism-cli[remote]")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(requests, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(requests, "_answered", set())
    client._client.cache_clear()
    return monkeypatch


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://127.0.0.1:{}", "no connection to http://127.0.0.1:.*: nobody answers there"),
        ("https://no-such-host.invalid", "no such host.*AWS_ENDPOINT_URL"),
        ("http://somewhere.invalid", "http://somewhere.invalid is http.*AWS_ALLOW_HTTP=true"),
    ],
)
def test_an_endpoint_that_cannot_be_reached_is_told_in_seconds(
    elsewhere: pytest.MonkeyPatch, endpoint: str, told: str
) -> None:
    elsewhere.setenv("AWS_ENDPOINT_URL", endpoint.format(unused_port()))
    elsewhere.setitem(client.RETRIES, "max_retries", 0)
    began = time.monotonic()
    with pytest.raises(PrerequisiteError, match=told):
        store.object_state(parse_url("s3://bucket/in.jsonl"))
    assert time.monotonic() - began < 10


def test_http_where_https_is_expected_is_told(
    elsewhere: pytest.MonkeyPatch, s3_endpoint: str
) -> None:
    elsewhere.setenv("AWS_ENDPOINT_URL", s3_endpoint.replace("http:", "https:"))
    elsewhere.setitem(client.RETRIES, "max_retries", 0)
    with pytest.raises(PrerequisiteError, match=r"does not speak TLS.*its http address"):
        store.object_state(parse_url("s3://bucket/in.jsonl"))


def test_a_certificate_that_is_not_trusted_is_told(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    made = subprocess.run([*openssl, *files, "-days", "2"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("needs the program openssl (package openssl)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def shake() -> None:
            for _ in range(4):
                try:
                    context.wrap_socket(server.accept()[0], server_side=True)
                except OSError:
                    continue

        threading.Thread(target=shake, daemon=True).start()
        elsewhere.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.getsockname()[1]}")
        elsewhere.setitem(client.RETRIES, "max_retries", 0)
        with pytest.raises(PrerequisiteError, match=r"is not trusted\. Set SSL_CERT_FILE"):
            store.object_state(parse_url("s3://bucket/in.jsonl"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://bucket/k", r"there are none, neither in the environment.*Set AWS_PROFILE"),
        ("az://container/k", r"Account must be specified\. Set AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://bucket/k", "nowhere.json.*Set GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_missing_credentials_are_told(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path, url: str, told: str
) -> None:
    pytest.importorskip("boto3", reason="profiles are read by boto3 (extra remote)")
    for name in KEYS:
        elsewhere.delenv(name)
    elsewhere.setenv("AWS_EC2_METADATA_DISABLED", "true")
    elsewhere.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    elsewhere.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    elsewhere.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nowhere.json"))
    with pytest.raises(PrerequisiteError, match=told):
        store.object_state(parse_url(url))


def test_a_store_that_fails_is_named_while_it_is_waited_for(
    bucket: Bucket, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "NOTICE_SECONDS", 0.3)
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)
    name = parse_url(bucket["o"])
    lines: list[str] = []
    for fault in (Fault("503", "PUT", times=3), Fault("silent", "PUT")):
        proxy.faults = [fault]
        with stoppable(lambda: None, lines.append):
            store.put(name, b"data", store.object_state(name))
    failing, silent = lines
    assert failing.startswith(f"prism: {name}: the store fails (")
    assert "503 Service Unavailable); writing is repeated for 300 s at most" in failing
    assert silent.startswith(f"prism: {name}: the store does not answer; writing is repeated")


def test_a_store_that_does_not_answer_lets_a_stop_through(bucket: Bucket, proxy: FaultyS3) -> None:
    proxy.faults = [Fault("silent", "HEAD")]
    began = time.monotonic()

    def stop() -> None:
        if time.monotonic() > began + 0.3:
            raise StorageError("stopped")

    with pytest.raises(StorageError, match="stopped"), stoppable(stop):
        store.object_state(parse_url(bucket["o"]))
    assert time.monotonic() - began < 1.5


def test_a_listing_of_several_pages_survives_failures(
    bucket: Bucket, proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.RETRIES, "max_retries", 0)
    bucket.put_many(f"in/{number:05}" for number in range(2050))
    proxy.faults = [Fault("", "GET"), Fault("503", "GET", times=2)]
    found = [key for key, _ in store.objects_below(parse_url(bucket["in/"]))]
    assert found == [f"in/{number:05}" for number in range(2050)]
    assert not proxy.faults[1].times


@pytest.mark.parametrize("key", ["in//x.jsonl", "in/../x.jsonl", "in/a\tb.jsonl"])
def test_a_key_that_cannot_be_read_is_told(bucket: Bucket, proxy: FaultyS3, key: str) -> None:
    bucket.put_many([key])
    with pytest.raises(PrerequisiteError, match="an object there whose key cannot be read: 'in/"):
        list(store.objects_below(parse_url(bucket["in/"])))
    with pytest.raises(UsageError, match="is not read"):
        parse_url(bucket[key])


def test_keys_of_subfolders_do_not_matter_to_a_folder(bucket: Bucket, proxy: FaultyS3) -> None:
    bucket.put_many(["in/x.jsonl", "in/deep/../x.jsonl"])
    assert list(store.objects_in(parse_url(bucket["in/"]))) == ["x.jsonl"]
    store.check_bucket(parse_url(bucket["in/"]))


def test_the_command_line_says_it_and_exits_with_3(
    bucket: Bucket, proxy: FaultyS3, tmp_path: Path
) -> None:
    proxy.faults = [Fault("403 AccessDenied", method, times=9) for method in ("HEAD", "GET")]
    done = prism("convert", bucket["in.jsonl"], "-o", "o.jsonl")
    assert done.returncode == 3
    told = " ".join(done.stderr.split())
    assert f"error: {bucket['in.jsonl']}: the store refuses reading (AccessDenied)" in told, told
    assert not (tmp_path / "o.jsonl").exists()
