"""Address of a Ray cluster, and who may send it commands."""

import ipaddress
import os
import socket
from pathlib import Path

from prism_cli.errors import PrerequisiteError, UsageError

_MODE = "RAY_AUTH_MODE"
_HOW = (
    "Start the cluster with RAY_AUTH_MODE=token (`ray get-auth-token --generate` makes a token), "
    "copy the head's ~/.ray/auth_token here, and set RAY_AUTH_MODE=token here"
)


def choose_authentication(address: str | None) -> None:
    """Set RAY_AUTH_MODE where the user has not: a token for a cluster of one's own, and for others
    where one is at hand. Must be called before Ray is imported."""
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    has_token = (
        any(os.environ.get(name) for name in names)
        or (Path.home() / ".ray" / "auth_token").is_file()
    )
    if address is None or has_token:
        os.environ.setdefault(_MODE, "token")


def check_token(address: str | None) -> None:
    """Check that a cluster can be reached, and takes no commands from everyone.

    Args:
        address: HOST:PORT; None and `auto` are not checked.

    Raises:
        UsageError: the address is of Ray's client, or off this machine and without a token.
        PrerequisiteError: nothing answers there.
    """
    if address in (None, "auto"):
        return
    assert address is not None
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UsageError(
            f"--ray-address {address}: expected auto, or HOST:PORT of the cluster's head (port "
            "6379 unless it was started with another), not the address of Ray's client"
        )
    mode = os.environ.get(_MODE)
    if mode != "token" and not _is_loopback(host):
        raise UsageError(
            f"--ray-address {address}: who reaches this port can run commands on all nodes, and "
            f"{_MODE} is {mode or 'not set'}. {_HOW}"
        )
    if not answers(address):
        raise PrerequisiteError(
            f"--ray-address {address}: nothing answers there; no cluster can be reached. "
            "`ray start --head` starts one; `ray status` shows it"
        )


def answers(address: str) -> bool:
    """Return whether a port takes connections."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(socket.gethostbyname(host.strip("[]"))).is_loopback
    except (OSError, ValueError):
        return False
