"""Which clusters are reached, and which are refused since everyone may command them."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from prism_cli.errors import PrerequisiteError, UsageError
from prism_cli.spreads import ray_address
from prism_cli.spreads.ray_address import Reachability, check_address, choose_authentication
from tests.spreads.ray_nodes import head_alone


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("mode", ["", "disabled"])
def test_a_cluster_off_this_machine_needs_a_token(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(UsageError, match=f"RAY_AUTH_MODE is {mode or 'not set'}"):
        check_address("192.0.2.1:6379")


def test_a_cluster_of_this_machine_needs_none() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        check_address(f"127.0.0.2:{server.getsockname()[1]}")


def test_a_port_where_nothing_answers_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PrerequisiteError, match="nothing answers there"):
        check_address(f"127.0.0.2:{port}")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1", ":6379", "head:port"])
def test_addresses_of_another_kind_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="expected auto, or HOST:PORT"):
        check_address(address)


@pytest.mark.parametrize("address", [None, "auto"])
def test_what_ray_finds_itself_is_checked_when_it_is_known(address: str | None) -> None:
    check_address(address)


def test_a_token_at_hand_is_used_unless_the_user_says_otherwise(
    isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_authentication("auto")
    assert "RAY_AUTH_MODE" not in os.environ
    (isolated_home / ".ray").mkdir()
    (isolated_home / ".ray" / "auth_token").write_text("0" * 64)
    choose_authentication("auto")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    choose_authentication(None)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_cluster_of_ones_own_has_a_token() -> None:
    choose_authentication(None)
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.skipif(not find_spec("ray"), reason="needs Ray: pip install 'prism-cli[ray]'")
@pytest.mark.parametrize("asks", [True, False])
def test_a_cluster_off_this_machine_must_ask_for_the_token(
    asks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with head_alone(tmp_path, "token" if asks else "disabled") as address:
        check_address(address)  # not asked on this machine
        monkeypatch.setattr(ray_address, "_is_loopback", lambda _: False)
        if asks:
            check_address(address)
        else:
            with pytest.raises(UsageError, match="takes commands without a token"):
                check_address(address)


def test_a_server_of_another_kind_is_no_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "_PROBE", "raise ConnectionError")
    with pytest.raises(PrerequisiteError, match="does not answer as the head"):
        ray_address.asks_for_token("192.0.2.1:6379")
    monkeypatch.setattr(ray_address, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(ray_address, "_PROBE_SECONDS", 0.1)
    with pytest.raises(PrerequisiteError, match="does not answer as the head"):
        ray_address.asks_for_token("192.0.2.1:6379")


def test_a_port_is_lost_once_it_refuses_for_ten_seconds() -> None:
    now, answers = 0.0, {"a": True, "b": True}
    ports = Reachability(["a", "b"], answers.__getitem__, lambda: now)
    lost = {}
    for second in range(40):
        now, answers["b"] = float(second), not (5 <= second < 12 or second >= 20)
        lost[second] = ports.lost
    assert next(second for second, is_lost in lost.items() if is_lost) == 30
    answers["b"], now = True, now + 1
    assert not ports.lost
    assert ports.now
