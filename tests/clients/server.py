"""A server for clients, which prints its address: python -m tests.clients.server [KEY].

A document with the query is relevant, and its evidence is the whole document. A query with `busy`
is refused as the queue would refuse it, one with `once` only the first time; one with `stopping` is
refused as by a server that stops.
"""

import sys
from typing import Any

from prism_cli.ports import RerankTask
from prism_cli.serving.app import ServerInfo, create_app
from prism_cli.serving.keys import ApiKeys
from prism_cli.serving.model_queue import ModelQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.server import address, listening_socket, run_server
from prism_cli.serving.service import QueueFullError, Service, UnavailableError
from tests.serving.fake_model import CountingModel, CountingSession

KEY = "key-of-the-client"


class ShortSession(CountingSession):
    """Texts of three passes."""

    def add(self, tasks: Any) -> Any:
        replies = super().add(tasks)
        self.left = dict.fromkeys(self.left, 3)
        return replies


class ClientsModel(CountingModel):
    """A model that says yes to documents with the last word of the query."""

    def logit(self, task: RerankTask) -> float:
        return expected_logit(task.query, task.document)

    def text_session(self) -> CountingSession:
        return ShortSession(self)


class RefusingService(Service):
    """A service that refuses by words of the query."""

    def __init__(self) -> None:
        super().__init__()
        self._refused: set[str] = set()

    async def rank(self, query: str, *args: Any, **more: Any) -> Any:
        if "busy" in query and not ("once" in query and query in self._refused):
            self._refused.add(query)
            raise QueueFullError(1)
        if "stopping" in query:
            raise UnavailableError("the server is stopping")
        return await super().rank(query, *args, **more)


def expected_logit(query: str, document: str) -> float:
    """Return 3 if the document has the last word of the query, else -3, and a little for its
    length."""
    return (3.0 if query.split()[-1] in document else -3.0) + len(document) / 1000


def main(*keys: str) -> None:
    """Print the address, and serve."""
    service = RefusingService()
    listening = listening_socket("127.0.0.1", 0)
    print(address(listening), flush=True)
    model: Any = ClientsModel()

    def load() -> Ranker:
        return Ranker(model, ModelQueue(model))

    run_server(
        lambda life: create_app(
            service, ServerInfo("river", "1.0"), ApiKeys(keys), lambda line: None, life
        ),
        service,
        listening,
        load,
        20,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
