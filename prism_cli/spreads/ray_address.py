"""Address of a Ray cluster, and who may send it commands."""

import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prism_cli.errors import PrerequisiteError, UsageError

_MODE = "RAY_AUTH_MODE"
_LOST_SECONDS = 10.0
"""Time for which a port must refuse connections before it counts as lost."""
_LOOK_SECONDS = 1.0
_PROBE_SECONDS = 30.0
_REFUSED = 77
_PROBE = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit({_REFUSED})
"""
"""Connects without a token, in a process of its own: Ray reads its settings once."""
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


def check_address(address: str | None) -> None:
    """Check that a cluster can be reached, and takes no commands from everyone.

    Args:
        address: HOST:PORT; None and `auto` are not checked.

    Raises:
        UsageError: the address is of Ray's client, or off this machine and no token is asked for.
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
    if not _is_loopback(host) and not asks_for_token(address):
        raise UsageError(
            f"--ray-address {address}: the cluster takes commands without a token, so that who "
            f"reaches this port can run any on all its nodes. {_HOW}"
        )


def asks_for_token(address: str) -> bool:
    """Return whether a head refuses who has no token.

    Raises:
        PrerequisiteError: that could not be found out, since it does not answer as a head does.
    """
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    env = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", _PROBE, address]
    try:
        done = subprocess.run(
            command,
            env=env | {_MODE: "disabled"},
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        code = -1
    else:
        code = done.returncode
    if code in (0, _REFUSED):
        return code == _REFUSED
    raise PrerequisiteError(
        f"--ray-address {address}: a server takes connections there, but does not answer as the "
        "head of a Ray cluster does; `ray status` shows whether it is one"
    )


class Reachability:
    """Reachability of ports, now and of late.

    Args:
        addresses: HOST:PORT of each.
        answer: returns whether one takes connections.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        answer: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses, self._answer, self._clock = addresses, answer or answers, clock
        self._gone_since: float | None = None
        self._looked_at = -_LOOK_SECONDS

    @property
    def now(self) -> bool:
        """True if all take connections now."""
        return all(map(self._answer, self._addresses))

    @property
    def lost(self) -> bool:
        """True once one of them has refused connections for 10 s."""
        now = self._clock()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            if self.now:
                self._gone_since = None
            elif self._gone_since is None:
                self._gone_since = now
        return self._gone_since is not None and now - self._gone_since >= _LOST_SECONDS


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
