"""The lock files of the clients."""

import json
import re

import pytest

from tests.clients.environments import HERE, LOCKS


@pytest.mark.parametrize("name", [name for name in LOCKS.values() if name.endswith(".txt")])
def test_all_packages_are_pinned_and_those_that_were_asked_for_are_there(name: str) -> None:
    lines = (HERE / name).read_text().splitlines()
    locked = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[^ ]+( ; .+)?", line) for line in locked)
    asked = (HERE / name).with_suffix(".in").read_text().splitlines()
    assert {line for line in asked if not line.startswith("#")} <= set(locked)


def test_the_lock_of_npm_names_no_addresses_and_has_all_digests() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    asked = json.loads((HERE / "package.json").read_text())["dependencies"]
    assert packages[""]["dependencies"] == asked
    for name, package in packages.items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
