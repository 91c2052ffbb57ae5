"""Connection to a Ray cluster. Ray is imported here only."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from prism_cli import terminal
from prism_cli.errors import MissingPackageError, PrerequisiteError, PrismError, first_line
from prism_cli.spreads.cluster import WorkerDiedError
from prism_cli.spreads.ray_address import (
    Reachability,
    check_address,
    choose_authentication,
)
from prism_cli.spreads.ray_words import missing_module, shown, why_lost
from prism_cli.spreads.ray_worker import actor_class
from prism_cli.spreads.shard_actor import ActorSetup

_CONNECT_SECONDS = 60.0
"""Time in which a head that takes connections must also answer."""
_HUNG_SECONDS = 30.0
"""Time for which a head that did not answer is not asked again."""
_TICK_SECONDS = 0.2
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
        check: called while the cluster is waited for; raises if the run must stop.

    Raises:
        MissingPackageError: Ray is not installed.
        PrerequisiteError: no cluster answers.
        UsageError: the cluster is reached over a network and takes commands without a token, or the
            address is of another kind.
    """

    def __init__(
        self,
        address: str | None,
        workers: int,
        setup: ActorSetup,
        gpus: float,
        check: Callable[[], None],
    ) -> None:
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
        self._check = check
        self._acts_from = 0.0

    def __enter__(self) -> Self:
        check_address(self._address)
        own: dict[str, Any] = {
            "num_cpus": self._own_cpus,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }
        connect = partial(
            self._ray.init,
            address=self._address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if self._address else own),
        )
        # The raylets' reports of lost workers: prism says that in its own words.
        self._ray._private.worker.listen_error_messages = lambda *_: None
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with _silent_errors():
                if self._address:
                    self._wait_for(connect)
                else:
                    connect()  # not in a thread, with which the cluster would end
        except (self._ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
            raise PrerequisiteError(self._not_reached(error)) from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self._actor_class = actor_class(self._ray)
        context = self._ray.get_runtime_context()
        head, me = str(context.gcs_address), context.get_node_id()
        self._reachable = Reachability(
            [head]
            + [
                f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
                for node in self._ray.nodes()
                if node["NodeID"] == me
            ]
        )
        try:
            if self._address == "auto":
                check_address(head)
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
        return self._reachable.lost

    @property
    def answers(self) -> bool:
        """True if the head and this machine's node take connections now."""
        return self._reachable.now

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
            raise WorkerDiedError(f"unexpected {shown(error.cause or error)}") from None
        except (self._ray.exceptions.RayError, TimeoutError) as error:
            if missing := missing_module(error):
                raise missing from None
            raise WorkerDiedError(why_lost(error)) from None

    def kill(self, worker: Any) -> None:
        """End an actor at once; without the head, ask it to leave."""
        if self._head_acts() and _ended_in(_GOODBYE_SECONDS, lambda: self._ray.kill(worker)):
            return
        # Not sent before this process ends unless it is waited for.
        self._ray.wait([worker.leave.remote()], timeout=_GOODBYE_SECONDS, fetch_local=False)

    def _head_acts(self) -> bool:
        """Return whether the head answers questions; one that hangs still takes connections."""
        if time.monotonic() < self._acts_from or not self.answers:
            return False
        if _ended_in(_GOODBYE_SECONDS, self._ray.nodes):
            return True
        self._acts_from = time.monotonic() + _HUNG_SECONDS
        return False

    def _wait_for(self, act: Callable[[], Any]) -> None:
        """Wait until `act` has ended in a thread: Ray waits for a head that hangs for ever."""
        until = time.monotonic() + _CONNECT_SECONDS
        future = ThreadPoolExecutor(1).submit(act)
        try:
            while not future.done():
                self._check()
                if time.monotonic() > until:
                    raise TimeoutError(f"no answer for {_CONNECT_SECONDS:g} s")
                wait([future], _TICK_SECONDS)
        finally:
            if not future.done():
                terminal.end_at_once()
        future.result()

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


def _ended_in(seconds: float, act: Callable[[], Any]) -> bool:
    """Return whether `act` ends in time; it goes on otherwise, in a thread."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
