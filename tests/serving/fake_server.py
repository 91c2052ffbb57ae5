"""A server that prints its address: python -m tests.serving.fake_server SECONDS [MODEL].

Without a model it has the counting one, whose rounds take so many seconds.
"""

import os
import sys
import threading
import time
from typing import Any

from prism_cli import Reranker
from prism_cli.serving.app import ServerInfo, create_app
from prism_cli.serving.keys import ApiKeys
from prism_cli.serving.model_queue import ModelQueue
from prism_cli.serving.ranker import Ranker
from prism_cli.serving.server import address, listening_socket, run_server
from prism_cli.serving.service import Service
from tests.serving.fake_model import CountingModel


class SlowModel(CountingModel):
    """A model whose rounds and passes take a while."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def pass_(self) -> None:
        time.sleep(self.seconds)


def scripted(seconds: float, model: type[SlowModel] = SlowModel) -> Ranker:
    """Return a ranker with a scripted model."""
    queue = ModelQueue(model(seconds))  # type: ignore[arg-type]
    return Ranker(model(0), queue)  # type: ignore[arg-type]


def main(seconds: float, model: str = "") -> None:
    """Print the address, and serve."""
    service = Service()
    listening = listening_socket("127.0.0.1", 0)
    print(address(listening), flush=True)

    def load() -> Ranker:
        busy = float(os.environ.get("FAKE_THREAD_SECONDS", "0"))
        threading.Thread(target=time.sleep, args=(busy,)).start()
        if model:
            reranker = Reranker(model, warn=False)
            runtime: Any = reranker.runtime
            queue = ModelQueue(runtime.inner)
            return Ranker(runtime, queue)
        return scripted(seconds)

    info = ServerInfo("river", "1.0")
    run_server(
        lambda life: create_app(service, info, ApiKeys(), lambda line: None, life),
        service,
        listening,
        load,
        float(os.environ.get("FAKE_GRACE", "20")),
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
