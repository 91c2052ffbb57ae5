"""Which clusters are reached, and which are refused since everyone may command them."""

import os
import socket
from pathlib import Path

import pytest

from prism_cli.errors import PrerequisiteError, UsageError
from prism_cli.spreads.ray_address import check_token, choose_authentication


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
        check_token("192.0.2.1:6379")


def test_a_cluster_of_this_machine_needs_none() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        check_token(f"127.0.0.2:{server.getsockname()[1]}")


def test_a_port_where_nothing_answers_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(PrerequisiteError, match="nothing answers there"):
        check_token(f"127.0.0.2:{port}")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "127.0.0.1", ":6379", "head:port"])
def test_addresses_of_another_kind_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="expected auto, or HOST:PORT"):
        check_token(address)


@pytest.mark.parametrize("address", [None, "auto"])
def test_what_ray_finds_itself_is_checked_when_it_is_known(address: str | None) -> None:
    check_token(address)


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
