"""A model that records its rounds, each of which waits for a gate."""

import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from prism_cli.errors import ModelError
from prism_cli.ports import Reply, RerankTask, Usage


class CountingSession:
    """Texts of as many passes as `max_new_tokens`."""

    def __init__(self, model: "CountingModel") -> None:
        self.model = model
        self.left: dict[RerankTask, int] = {}

    def add(self, tasks: Sequence[RerankTask]) -> Mapping[RerankTask, Reply]:
        self.model.joined.append(list(tasks))
        self.left |= {task: task.max_new_tokens for task in tasks if "no" not in task.document}
        rest = [task for task in tasks if task not in self.left]
        return {task: Reply({"logit": -1.0, "truncated": False}) for task in rest}

    def step(self) -> Mapping[RerankTask, Reply]:
        self.model.pass_()
        self.model.log.append("pass")
        self.left = {task: left - 1 for task, left in self.left.items()}
        ended = [task for task, left in self.left.items() if not left]
        for task in ended:
            del self.left[task]
        return {task: self.model.written(task) for task in ended}

    def drop(self, task: RerankTask) -> None:
        self.model.dropped.append(task)
        del self.left[task]


class CountingModel:
    """A model that records its rounds; each waits for `gate`."""

    spec, fingerprint = "counting", "counting"
    figures: Mapping[str, object] = MappingProxyType({"max_tokens": 512})

    def __init__(self) -> None:
        self.rounds: list[list[RerankTask]] = []
        self.joined: list[list[RerankTask]] = []
        self.dropped: list[RerankTask] = []
        self.log: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.fails: str | None = None

    def pass_(self) -> None:
        self.entered.set()
        assert self.gate.wait(60)
        if self.fails:
            raise ModelError(self.fails)

    def answer(self, tasks: Sequence[RerankTask]) -> list[Reply]:
        self.rounds.append(list(tasks))
        self.log.append("round")
        self.pass_()
        return [
            Reply({"logit": self.logit(task), "truncated": False}, usage=Usage(10))
            for task in tasks
        ]

    def logit(self, task: RerankTask) -> float:
        """Return 3 if the document has the query, else -3, and a little for its length."""
        return (3.0 if task.query in task.document else -3.0) + len(task.document) / 1000

    def written(self, task: RerankTask) -> Reply:
        """Return the reply whose evidence is the whole document."""
        text = (
            f"yes\n<contribution>{task.document}</contribution>\n"
            f"<evidence>{task.document}</evidence>"
        )
        value = {"logit": self.logit(task), "truncated": False, "text": text}
        return Reply(value, usage=Usage(10, min(task.max_new_tokens, 20)))

    def text_session(self) -> CountingSession:
        return CountingSession(self)
