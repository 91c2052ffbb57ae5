"""`ShardActor` as an actor of Ray."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from prism_cli.engine.jobs import Job
from prism_cli.engine.shard_report import ShardReport
from prism_cli.spreads.ray_address import Reachability
from prism_cli.spreads.shard_actor import ActorSetup, ShardActor

_ORPHAN_SECONDS = 30.0
"""Time without a call after which a worker of a lost cluster ends itself."""
_LOOK_SECONDS = 2.0


def actor_class(ray: Any) -> Any:
    """Return the class of actors."""

    class RayShardActor(ShardActor):
        """The worker as an actor, which stops at SIGTERM: nodes that are taken away send it.

        Nobody ends it once the command and the head are gone, so that it looks for them itself.
        """

        def __init__(self, setup: ActorSetup) -> None:
            super().__init__(setup)
            signal.signal(signal.SIGTERM, self._on_signal)
            head = Reachability([str(ray.get_runtime_context().gcs_address)])
            self._orphan = Orphan(lambda: head.lost)
            threading.Thread(target=self._watch, daemon=True).start()

        def progress(self) -> tuple[str, float]:
            self._orphan.called()
            return super().progress()

        def work(self, job: Job) -> ShardReport:
            self._orphan.called()
            return super().work(job)

        def survey(self, job: Job) -> ShardReport:
            self._orphan.called()
            return super().survey(job)

        def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
            self.stop()

        def _watch(self) -> None:
            while not self._orphan.alone:
                time.sleep(_LOOK_SECONDS)
            self.leave()

    for name in ("progress", "stop", "leave"):
        method = ray.method(concurrency_group="io")(getattr(RayShardActor, name))
        setattr(RayShardActor, name, method)
    return ray.remote(max_restarts=0, max_task_retries=0, concurrency_groups={"io": 2})(
        RayShardActor
    )


class Orphan:
    """Knows whether the command that calls a worker, and the cluster's head, are gone.

    Args:
        head_is_lost: returns whether the head is lost.
        clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self, head_is_lost: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._head_is_lost, self._clock = head_is_lost, clock
        self._called_at = clock()

    def called(self) -> None:
        """Note a call of the command."""
        self._called_at = self._clock()

    @property
    def alone(self) -> bool:
        """True if the head is lost, and the command has not called for 30 s."""
        return self._head_is_lost() and self._clock() - self._called_at > _ORPHAN_SECONDS
