"""A Ray cluster of one machine: a head on 127.0.0.2, and nodes on 127.0.0.3 and up, by `ray start`.

127.0.0.1 cannot be used: Ray replaces it by the machine's own address. Nodes are started one after
another, since two at once fail to register.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prism_cli.spreads.ray_address import answers

ROOT = Path(__file__).parent.parent.parent
HEAD_HOST = "127.0.0.2"
_OPTIONS = (
    "--disable-usage-stats", "--include-log-monitor", "false", "--object-store-memory", "80000000",
    "--block",
)  # fmt: skip


@dataclass
class RayNodes:
    """The processes of a cluster; `variables` is what a command that connects needs."""

    folder: Path
    port: int
    variables: Mapping[str, str]
    starters: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{HEAD_HOST}:{self.port}"

    def start(self, host: str, *words: str) -> None:
        """Start a node; return when it is registered."""
        log = self.folder / f"{host}.log"
        command = [str(Path(sys.executable).with_name("ray")), "start", "--node-ip-address", host]
        with log.open("wb") as file:
            self.starters[host] = subprocess.Popen(
                [*command, *words, *_OPTIONS],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.variables},
                start_new_session=True,
            )
        until(lambda: b"Ray runtime started" in log.read_bytes(), 120, log.read_text)

    def add_node(self, host: str, cpus: int = 1) -> None:
        """Start a node with workers."""
        self.start(host, "--address", self.address, "--num-cpus", str(cpus))

    def raylet(self, host: str) -> int:
        """Return the process of a node's raylet."""
        (process,) = processes("/raylet/raylet", f"--node_ip_address={host}", str(self.folder))
        return process

    def lose_head(self) -> None:
        """Kill the process that knows all nodes and actors; the workers of its node live on."""
        (process,) = processes("/gcs/gcs_server", str(self.folder))
        os.kill(self.starters[HEAD_HOST].pid, signal.SIGSTOP)  # it would end the node
        os.kill(process, signal.SIGKILL)

    def actors(self) -> list[int]:
        """Return the processes of actors of prism; other clusters of this machine may have some."""
        found = processes("ray::RayShardActor")
        return [process for process in found if _output(process).is_relative_to(self.folder)]

    def end_node(self, host: str) -> None:
        """End a node's processes at once."""
        end_session(self.starters.pop(host))

    def end(self) -> None:
        """End all processes at once."""
        for host in list(self.starters):
            self.end_node(host)


@contextmanager
def head_alone(folder: Path, mode: str) -> Iterator[str]:
    """Run the process that answers for a head, with RAY_AUTH_MODE=`mode`; yield its address."""
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    server = Path(spec.origin).parent / "core/src/ray/gcs/gcs_server"
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(server), f"--log_dir={folder}", f"--session-dir={folder}", "--session-name=s",
                f"--gcs_server_port={port}", f"--node-ip-address={HEAD_HOST}",
                "--metrics-agent-port=0", "--config_list=e30=", f"--node-id={'0' * 56}",
            ],
            stdout=log, stderr=log, env={**os.environ, "RAY_AUTH_MODE": mode},
        )  # fmt: skip
    try:
        until(lambda: answers(f"{HEAD_HOST}:{port}"), 20, (folder / "log").read_text)
        yield f"{HEAD_HOST}:{port}"
    finally:
        process.kill()
        process.wait()


def processes(*words: str) -> list[int]:
    """Return the processes of this machine whose command line has all the words."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if all(word in line for word in words) and path.name != str(os.getpid()):
                found.append(int(path.name))
    return found


def _output(process: int) -> Path:
    """Return the file that is the standard output of a process."""
    try:
        return Path(f"/proc/{process}/fd/1").readlink()
    except OSError:
        return Path()


def parent(process: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def alive(process: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end_session(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all others of its session."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ProcessLookupError):
            if os.getsid(int(path.name)) == process.pid:
                os.kill(int(path.name), signal.SIGKILL)
    process.wait()


def until(what: Callable[[], Any], seconds: float = 30.0, said: Callable[[], str] = str) -> Any:
    """Wait until something is true; return it."""
    give_up = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < give_up, f"it never came to that: {said()}"
        time.sleep(0.05)
    return result


def _free_port() -> int:
    with socket.socket() as server:
        server.bind((HEAD_HOST, 0))
        return int(server.getsockname()[1])


@contextmanager
def ray_nodes(hosts: int = 2) -> Iterator[RayNodes]:
    """Run a cluster with a worker on each of the hosts, the first of which is the head."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: it has Unix sockets
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": str(ROOT),
    }
    nodes = RayNodes(folder, _free_port(), variables)
    try:
        nodes.start(
            HEAD_HOST, "--head", "--port", str(nodes.port), "--num-cpus", "1",
            "--include-dashboard", "false", "--temp-dir", str(folder / "t"),
        )  # fmt: skip
        for number in range(1, hosts):
            nodes.add_node(f"127.0.0.{2 + number}")
        yield nodes
    finally:
        nodes.end()
        shutil.rmtree(folder, ignore_errors=True)
