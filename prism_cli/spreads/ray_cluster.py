"""Connection to a Ray cluster. Ray is imported here only."""

import ipaddress
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

from prism_cli.errors import (
    MissingPackageError,
    PrerequisiteError,
    PrismError,
    UsageError,
    first_line,
)
from prism_cli.spreads.shard_actor import ActorSetup, ShardActor
from prism_cli.spreads.worker_pool import WorkerDiedError

_HEAD_SECONDS = 10.0
"""Time for which the head's port must refuse connections before it counts as lost."""
_LOOK_SECONDS = 1.0
_OUTLIVES_HEAD = "86400"
"""Seconds for which Ray's own library waits for a lost head before it ends the process; prism
notices the loss itself, and ends when the running shards have."""


class RayCluster:
    """A connection for the block.

    Args:
        address: `auto`, or HOST:PORT of the head; None starts a cluster on this machine.
        workers: number of workers, for a cluster that is started here.
        setup: what each begins with.
        gpus: of each, which also has one CPU.

    Raises:
        MissingPackageError: Ray is not installed.
        PrerequisiteError: no cluster answers.
        UsageError: the cluster is reached over a network and takes commands without a token.
    """

    def __init__(self, address: str | None, workers: int, setup: ActorSetup, gpus: float) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", _OUTLIVES_HEAD)
        try:
            import ray
        except ImportError:
            raise MissingPackageError("ray", "ray") from None
        self._ray = ray
        self._address, self._setup = address, setup
        self._resources = {"num_cpus": 1.0, "num_gpus": gpus}
        self._own_cpus = workers
        self._gone_since: float | None = None
        self._looked_at = 0.0

    def __enter__(self) -> Self:
        self._check_token(self._address)
        own: dict[str, Any] = {"num_cpus": self._own_cpus, "include_dashboard": False}
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._ray.init(
                address=self._address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if self._address else own),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PrerequisiteError(
                f"--ray-address {self._address or 'local'}: no cluster can be reached: "
                f"{first_line(error)}. `ray start --head` starts one; `ray status` shows it"
            ) from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self._actor_class = _actor_class(self._ray)
        self._head = str(self._ray.get_runtime_context().gcs_address)
        try:
            self._check_token(self._head if self._address else None)
        except UsageError:
            self._ray.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.lost:  # Ray's own goodbye would wait for the head
            sys.stdout.flush()
            return
        self._ray.shutdown()

    @property
    def lost(self) -> bool:
        """True once the head's port has refused connections for 10 s."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            if _answers(self._head):
                self._gone_since = None
            elif self._gone_since is None:
                self._gone_since = now
        return self._gone_since is not None and now - self._gone_since >= _HEAD_SECONDS

    def start(self) -> Any:
        """Return the handle of a new actor, which may wait for free resources."""
        return self._actor_class.options(**self._resources).remote(self._setup)

    def call(self, worker: Any, method: str, *args: Any) -> Any:
        """Call a method of an actor; return the reference of its result."""
        return getattr(worker, method).remote(*args)

    def wait(self, references: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return those of the calls that have ended, after at most `seconds`."""
        if not references:
            time.sleep(seconds)
            return []
        every = list(references)
        first: list[Any] = self._ray.wait(every, timeout=seconds, fetch_local=False)[0]
        if not first:
            return []
        ended: list[Any] = self._ray.wait(
            every, num_returns=len(every), timeout=0, fetch_local=False
        )[0]
        return ended

    def result(self, reference: Any) -> Any:
        """Return the result of a call that has ended.

        Raises:
            PrismError: of the call.
            WorkerDiedError: the actor is gone, or the call raised another error.
        """
        try:
            return self._ray.get(reference, timeout=30)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, PrismError):
                raise error.cause from None
            raise WorkerDiedError(f"unexpected {first_line(error.cause or error)}") from None
        except (self._ray.exceptions.RayError, TimeoutError) as error:
            raise WorkerDiedError(_cause(error)) from None

    def kill(self, worker: Any) -> None:
        """End an actor at once."""
        if not self.lost:
            self._ray.kill(worker)

    @staticmethod
    def _check_token(address: str | None) -> None:
        if address in (None, "auto") or os.environ.get("RAY_AUTH_MODE", "token") == "token":
            return
        assert address is not None
        if not _is_loopback(address):
            raise UsageError(
                f"--ray-address {address}: who reaches this port can run commands on all nodes, "
                f"and RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']}. Start the cluster with "
                "RAY_AUTH_MODE=token (`ray get-auth-token --generate` makes one) and set it here"
            )


def _cause(error: BaseException) -> str:
    """Return the line of Ray's message that says why an actor ended."""
    lines = [line.strip() for line in str(error).splitlines() if "xit detail" in line]
    return (lines or [first_line(error)])[0][:300]


def _actor_class(ray: Any) -> Any:
    class RayShardActor(ShardActor):
        """The worker as an actor, which stops at SIGTERM: nodes that are taken away send it."""

        def __init__(self, setup: ActorSetup) -> None:
            super().__init__(setup)
            signal.signal(signal.SIGTERM, self._on_signal)

        def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
            self._stop.request()

    for name in ("progress", "stop"):
        method = ray.method(concurrency_group="io")(getattr(ShardActor, name))
        setattr(RayShardActor, name, method)
    return ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"io": 2})(
        RayShardActor
    )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False


def _is_loopback(address: str) -> bool:
    host = address.removeprefix("ray://").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, ValueError):
        return False
