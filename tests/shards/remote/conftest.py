"""A bucket behind a faulty proxy, which `s3://` of the test's process and its children reach."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from prism_cli.shards.remote import client
from tests.servers.s3 import KEYS, Bucket, FaultyS3, s3_server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    for package in ("moto", "flask_cors", "obstore"):
        pytest.importorskip(package, reason="needs prism-cli[remote,test]")
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_endpoint: str) -> Bucket:
    return Bucket(s3_endpoint)


@pytest.fixture
def proxy(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultyS3]:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with FaultyS3(s3_endpoint) as proxy:
        for name, value in (KEYS | {"AWS_ENDPOINT_URL": proxy.url}).items():
            monkeypatch.setenv(name, value)
        client._client.cache_clear()
        yield proxy
        client._client.cache_clear()
