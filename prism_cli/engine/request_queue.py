"""Requests of a window of rows: looked up as they come, asked step by step, each once."""

from collections.abc import Sequence

from prism_cli.engine.call_pool import Unanswered, by_backend
from prism_cli.engine.request_runner import Advance, RequestRunner
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request

_Places = dict[bytes, tuple[int, int, Request]]
"""By key: the first place of a request (row's index, place in its group)."""


class RequestQueue:
    """Requests by step. What is asked together depends on the rows alone: cached requests take part
    in the plan, in the order of their rows, whenever their replies came. Requests to backends that
    take single requests are asked as soon as they are known.

    Attributes:
        replies: replies so far by key, and reasons for missing ones; grows while `ask` runs.
    """

    def __init__(self, runner: RequestRunner) -> None:
        self._runner = runner
        self._steps: list[_Places] = []
        self._in_flight: set[bytes] = set()
        self.replies: dict[bytes, Reply | Unanswered] = {}

    def add(self, step: int, requests: Sequence[tuple[int, Request]]) -> None:
        """Add requests, each with its row's index, and take the replies that are in the ledger.
        Replies of local models are kept by plan, so they are looked up in `ask`."""
        while step >= len(self._steps):
            self._steps.append({})
        places, new = self._steps[step], []
        for place, (index, request) in enumerate(requests):
            key = request.key
            first = places.get(key)
            if first is None:
                new.append(request)
            if first is None or (index, place) < first[:2]:
                places[key] = (index, place, request)
        new = [
            request
            for request in new
            if request.key not in self.replies and request.key not in self._in_flight
        ]
        self._runner.totals.shared += len(requests) - len(new)
        server_keys = [request.key for request in new if _is_server(request.backend)]
        cached = self._runner.find(server_keys) if server_keys else {}
        self._runner.totals.from_ledger += len(cached)
        self.replies.update(cached)

    def ask(self, step: int, advance: Advance = lambda answered: ()) -> None:
        """Ask the missing requests of this step, and meanwhile the single requests that rows make
        next. `replies` then has an entry for each.

        Raises:
            InterruptedRunError, LimitReachedError: after the replies so far are committed.
            PrerequisiteError: a local model cannot be used at all.
        """
        # No two have the same place, so requests are never compared.
        requests = [place[2] for place in sorted(self._steps[step].values())]
        self._in_flight.update(
            [request.key for request in requests if request.key not in self.replies]
        )
        groups = [
            group
            for group in by_backend(requests)
            if any(request.key in self._in_flight for request in group)
        ]

        def advance_singles(answered: Sequence[Request]) -> list[Request]:
            new = {
                request.key: request
                for request in advance(answered)
                if self._is_new_single(request)
            }
            self._in_flight |= new.keys()
            return list(new.values())

        if groups:
            self._runner.ask(groups, self.replies, advance_singles)
        self._in_flight.clear()

    def _is_new_single(self, request: Request) -> bool:
        return (
            isinstance(request.backend, CallBackend)
            and request.backend.single
            and request.key not in self.replies
            and request.key not in self._in_flight
        )


_SERVERS: dict[type, bool] = {}


def _is_server(backend: BatchBackend | CallBackend) -> bool:
    """Return isinstance(backend, CallBackend), cached since it checks every protocol member."""
    is_server = _SERVERS.get(type(backend))
    if is_server is None:
        is_server = _SERVERS[type(backend)] = isinstance(backend, CallBackend)
    return is_server


def answer(runner: RequestRunner, requests: Sequence[Request]) -> dict[bytes, Reply | Unanswered]:
    """Return a reply, or the reason for a missing one, by distinct key.

    Raises: as `RequestQueue.ask`.
    """
    queue = RequestQueue(runner)
    queue.add(0, list(enumerate(requests)))
    queue.ask(0)
    return queue.replies
