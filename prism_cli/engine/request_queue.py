"""The requests of a window of rows: looked up as they come, asked step by step, each once."""

from collections.abc import Sequence

from prism_cli.engine.call_pool import Unanswered, by_backend
from prism_cli.engine.request_runner import GoOn, RequestRunner
from prism_cli.ports import BatchBackend, CallBackend, Reply, Request

_Noted = dict[bytes, tuple[int, int, Request]]
"""By key: where a request stands first (row's index, place in its group)."""


class RequestQueue:
    """What is asked together is a function of the rows alone: requests whose replies are at hand
    take part in the plan, in the order of their rows, whenever they came. Those that go singly are
    asked as soon as they are known.

    Attributes:
        replies: what is at hand, by key, and the lack of it; grows while `ask` works.
    """

    def __init__(self, runner: RequestRunner) -> None:
        self._runner = runner
        self._steps: list[_Noted] = []
        self._under_way: set[bytes] = set()
        self.replies: dict[bytes, Reply | Unanswered] = {}

    def look(self, step: int, asked: Sequence[tuple[int, Request]]) -> None:
        """Note requests, each with its row's index, and take the replies that are in the ledger.
        Models of this process keep theirs by plan: what they are asked is looked up in `ask`."""
        while step >= len(self._steps):
            self._steps.append({})
        known, new = self._steps[step], []
        for place, (index, one) in enumerate(asked):
            key = one.key
            first = known.get(key)
            if first is None:
                new.append(one)
            if first is None or (index, place) < first[:2]:
                known[key] = (index, place, one)
        new = [one for one in new if one.key not in self.replies and one.key not in self._under_way]
        self._runner.totals.shared += len(asked) - len(new)
        of_servers = [one.key for one in new if _is_server(one.backend)]
        found = self._runner.find(of_servers) if of_servers else {}
        self._runner.totals.from_ledger += len(found)
        self.replies.update(found)

    def ask(self, step: int, go_on: GoOn = lambda answered: ()) -> None:
        """Ask for what is missing of this step, and of what rows go on to meanwhile all that goes
        singly. `replies` then has an entry for each.

        Raises:
            InterruptedRunError, LimitReachedError: after what was answered is committed.
            PrerequisiteError: a model in this process cannot work at all.
        """
        # No two stand in one place, so requests are never compared.
        noted = [one for *_, one in sorted(self._steps[step].values())]
        self._under_way.update([one.key for one in noted if one.key not in self.replies])
        groups = [
            group for group in by_backend(noted) if any(one.key in self._under_way for one in group)
        ]

        def going_on(answered: Sequence[Request]) -> list[Request]:
            new = {one.key: one for one in go_on(answered) if self._goes_singly(one)}
            self._under_way |= new.keys()
            return list(new.values())

        if groups:
            self._runner.ask(groups, self.replies, going_on)
        self._under_way.clear()

    def _goes_singly(self, one: Request) -> bool:
        return (
            isinstance(one.backend, CallBackend)
            and one.backend.single
            and one.key not in self.replies
            and one.key not in self._under_way
        )


_SERVERS: dict[type, bool] = {}


def _is_server(backend: BatchBackend | CallBackend) -> bool:
    """What isinstance says, which looks at every member of a protocol each time."""
    known = _SERVERS.get(type(backend))
    if known is None:
        known = _SERVERS[type(backend)] = isinstance(backend, CallBackend)
    return known


def answer(runner: RequestRunner, requests: Sequence[Request]) -> dict[bytes, Reply | Unanswered]:
    """A reply, or the lack of one, for each distinct key.

    Raises: as `RequestQueue.ask`.
    """
    questions = RequestQueue(runner)
    questions.look(0, list(enumerate(requests)))
    questions.ask(0)
    return questions.replies
