"""A server in this process, with a model that says yes to documents with the query."""

from typing import Any

import orjson
from starlette.testclient import TestClient

from prism_cli.serving.app import ServerInfo, create_app
from prism_cli.serving.keys import ApiKeys
from prism_cli.serving.model_queue import ModelQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.server import lifespan
from prism_cli.serving.service import Service
from tests.serving.fake_model import CountingModel

DOCUMENTS = ["a cat", "a river by the town", {"title": "Town", "text": "a big river"}]
YES = {"query": "river", "documents": DOCUMENTS}


class Served:
    """A server in this process.

    Attributes:
        lines: of its log.
    """

    def __init__(
        self, *keys: str, cors: tuple[str, ...] = ("https://page.example",), **defaults: Any
    ) -> None:
        self.model: Any = CountingModel()
        self.service = Service(deadline=20)
        self.lines: list[str] = []

        def load() -> Ranker:
            return Ranker(self.model, ModelQueue(self.model))

        self.app = create_app(
            self.service,
            ServerInfo("river", "1.0", defaults, cors),
            ApiKeys(keys),
            self.lines.append,
            lifespan(self.service, load),
        )

    def __enter__(self) -> "Served":
        self.client = TestClient(self.app).__enter__()
        while not self.service.ready:
            self.client.get("/health")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__(None, None, None)

    def post(self, body: Any, path: str = "/v1/rerank", **headers: str) -> Any:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=content, headers=named)
