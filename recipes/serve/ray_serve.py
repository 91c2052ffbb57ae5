"""prism behind Ray Serve, one replica per GPU: serve run ray_serve:app model=ORG/MODEL replicas=2

It answers the rerank paths of `prism serve` on port 8000. Without a GPU: gpus=0. Other settings are
those of `prism recipes show serve`, such as deadline=30. PRISM_API_KEYS holds the keys. To install:
pip install 'prism-cli[local,serve]' 'ray[serve]'.
"""

import os

from ray import serve
from starlette.types import ASGIApp

from prism_cli.commands.serve import request_defaults
from prism_cli.commands.serving import load_ranker, say
from prism_cli.configs.load import load_config
from prism_cli.configs.serve import ServeConfig
from prism_cli.serving.app import ServerInfo, create_app
from prism_cli.serving.keys import VARIABLE, ApiKeys
from prism_cli.serving.server import lifespan
from prism_cli.serving.service import Service
from prism_cli.version import __version__

MAX_REQUESTS = 1000
"""Requests that Ray sends to a replica at a time: prism's own queue refuses with 429."""


def app(settings: dict[str, str]) -> serve.Application:
    """Return the application that `serve run` starts."""
    replicas, gpus = int(settings.pop("replicas", "1")), float(settings.pop("gpus", "1"))
    sets = [f"{name}={value}" for name, value in settings.items()]
    keys = os.environ.get(VARIABLE, "")

    def replica() -> ASGIApp:
        config = load_config(ServeConfig, "serve", sets=sets)
        ranker = load_ranker(config)  # before Ray sends requests to the replica
        service = Service(config.deadline)
        name = config.name or config.model
        info = ServerInfo(name, __version__, request_defaults(config), config.cors)
        life = lifespan(service, lambda: ranker)
        return create_app(service, info, ApiKeys(keys.split(",")), say, life)

    deployment = serve.deployment(
        serve.ingress(replica)(),
        name="prism",
        num_replicas=replicas,
        max_ongoing_requests=MAX_REQUESTS,
        ray_actor_options={"num_gpus": gpus},
    )
    return deployment.bind()
