"""Connection to a Ray cluster. Ray is imported here only."""

import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from prism_cli import terminal
from prism_cli.errors import MissingPackageError, PrerequisiteError, PrismError, first_line
from prism_cli.spreads.cluster import WorkerDiedError
from prism_cli.spreads.ray_address import answers, check_token, choose_authentication
from prism_cli.spreads.shard_actor import ActorSetup, ShardActor
from prism_cli.version import __version__

_HEAD_SECONDS = 10.0
"""Time for which the head must refuse connections before the cluster counts as lost."""
_LOOK_SECONDS = 1.0
_GOODBYE_SECONDS = 3.0
"""Time that Ray has to end actors and its own connection; both wait for a lost head for ever."""
_OUTLIVES_HEAD = "86400"
"""Seconds for which Ray's own library waits for a lost head before it ends the process; prism
notices the loss itself, and ends when the running shards have."""
_STORE_BYTES = 80_000_000
"""Least object store that Ray accepts: no rows pass through it."""


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
        UsageError: the cluster is reached over a network and takes commands without a token, or the
            address is of another kind.
    """

    def __init__(self, address: str | None, workers: int, setup: ActorSetup, gpus: float) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", _OUTLIVES_HEAD)
        choose_authentication(address)
        try:
            import ray
        except ImportError:
            raise MissingPackageError("ray", "ray") from None
        self._ray: Any = ray
        self._address, self._setup = address, setup
        self._resources = {"num_cpus": 1.0, "num_gpus": gpus}
        self._own_cpus = workers
        self._gone_since: float | None = None
        self._looked_at = 0.0

    def __enter__(self) -> Self:
        check_token(self._address)
        own: dict[str, Any] = {
            "num_cpus": self._own_cpus,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }
        # The raylets' reports of lost workers: prism says that in its own words.
        self._ray._private.worker.listen_error_messages = lambda *_: None
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with _silent_errors():
                self._ray.init(
                    address=self._address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if self._address else own),
                )
        except (self._ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            raise PrerequisiteError(self._not_reached(error)) from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self._actor_class = _actor_class(self._ray)
        context = self._ray.get_runtime_context()
        head, me = str(context.gcs_address), context.get_node_id()
        self._ports = [head] + [
            f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
            for node in self._ray.nodes()
            if node["NodeID"] == me
        ]
        try:
            check_token(head if self._address else None)
        except PrismError:
            self._ray.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not (self.answers and _ended_in(_GOODBYE_SECONDS, self._ray.shutdown)):
            terminal.end_at_once()

    @property
    def lost(self) -> bool:
        """True once the head or this machine's node has refused connections for 10 s: without
        the latter, Ray ends all actors of this process."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            if self.answers:
                self._gone_since = None
            elif self._gone_since is None:
                self._gone_since = now
        return self._gone_since is not None and now - self._gone_since >= _HEAD_SECONDS

    @property
    def answers(self) -> bool:
        """True if the head and this machine's node take connections now."""
        return all(map(answers, self._ports))

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
            PrismError: of the call, or the node lacks prism.
            WorkerDiedError: the actor is gone, or the call raised another error.
        """
        try:
            return self._ray.get(reference, timeout=30)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, PrismError):
                raise error.cause from None
            raise WorkerDiedError(f"unexpected {_shown(error.cause or error)}") from None
        except (self._ray.exceptions.RayError, TimeoutError) as error:
            _check_installed(str(error))
            raise WorkerDiedError(_cause(error)) from None

    def kill(self, worker: Any) -> None:
        """End an actor at once; without the head, ask it to leave."""
        if not (self.answers and _ended_in(_GOODBYE_SECONDS, lambda: self._ray.kill(worker))):
            worker.leave.remote()

    def _not_reached(self, error: Exception) -> str:
        if self._address is None:
            return f"--engine-on ray: no cluster can be started here: {first_line(error)}"
        reason = first_line(error)
        if isinstance(error, ConnectionError) and self._address != "auto":
            reason = (
                "a server answers there, but takes no commands from here: it is no Ray head, or "
                "its token is another (RAY_AUTH_MODE=token here and there, and the head's "
                "~/.ray/auth_token here, or in RAY_AUTH_TOKEN)"
            )
        return (
            f"--ray-address {self._address}: no cluster can be reached: {reason}. "
            "`ray start --head` starts one; `ray status` shows it"
        )


@contextmanager
def _silent_errors() -> Iterator[None]:
    """Hide what Ray's compiled part writes to standard error: a line a second while it is refused,
    of which the exception tells the outcome."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _cause(error: BaseException) -> str:
    """Return the line of Ray's message that says why an actor ended."""
    words = " ".join(str(error).split())
    detail = re.search(r"exit detail: (.+?)(?: Some common causes|\. The process|$)", words)
    return (detail[1] if detail else first_line(error))[:200].rstrip(".")


def _check_installed(words: str) -> None:
    """Raise PrerequisiteError if an actor could not be made since its node lacks a module."""
    if missing := re.search(r"No module named '([\w.]+)'", words):
        node = re.search(r"ip[=:] ?([\d.:a-f]+)", words)
        raise PrerequisiteError(
            f"{node[1] if node else 'a node of the cluster'}: has no module {missing[1]}; its "
            f"Python environment needs the same packages as this one (prism-cli {__version__})"
        )


def _ended_in(seconds: float, act: Callable[[], Any]) -> bool:
    """Return whether `act` ends in time; it goes on otherwise, in a thread."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def _actor_class(ray: Any) -> Any:
    class RayShardActor(ShardActor):
        """The worker as an actor, which stops at SIGTERM: nodes that are taken away send it."""

        def __init__(self, setup: ActorSetup) -> None:
            super().__init__(setup)
            signal.signal(signal.SIGTERM, self._on_signal)

        def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
            self.stop()

    for name in ("progress", "stop", "leave"):
        method = ray.method(concurrency_group="io")(getattr(ShardActor, name))
        setattr(RayShardActor, name, method)
    return ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"io": 2})(
        RayShardActor
    )
