"""A client with a known key."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.servers.asking import KEY


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=5) as opened:
        yield opened
