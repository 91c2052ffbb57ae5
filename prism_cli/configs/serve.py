"""Settings of `prism serve` and `prism mcp`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Interval

from prism_cli.configs.base import BeforeValidation, Option
from prism_cli.configs.rerank import EVIDENCE, RerankConfig
from prism_cli.configs.shared import Fuse, as_list
from prism_cli.domain.defaults import MAX_NEW_TOKENS, MOST_NEW_TOKENS

SERVER = "Server"


def _refused(value: object) -> None:
    if value is not None:
        raise ValueError("prism serve and prism mcp order by the model alone; leave it out")


def _at_most(value: object) -> object:
    return min(value, MOST_NEW_TOKENS) if isinstance(value, int) else value


@dataclass(frozen=True, kw_only=True)
class ServeConfig(RerankConfig):
    """Model and server. The settings of evidence are those of requests that do not say."""

    evidence: Annotated[
        bool,
        Option(
            "Contribution and evidence in every reply; else where a request asks for them.",
            names=("--evidence/--no-evidence",),
            panel=EVIDENCE,
        ),
    ] = False
    top_n: Annotated[
        int | None, Ge(1), Option("Most results of a request that does not say.", default="all")
    ] = None
    max_new_tokens: Annotated[
        int,
        Interval(ge=1, le=MOST_NEW_TOKENS),
        Option(
            "Longest text, in tokens, of a request that does not say.",
            panel=EVIDENCE,
            shared=_at_most,
        ),
    ] = MAX_NEW_TOKENS
    fuse: Annotated[
        Fuse,
        BeforeValidation(_refused),
        Option(
            "Not used: callers send no scores of a first stage.",
            hidden=True,
            added=True,
            shared=lambda _: None,
        ),
    ] = None
    name: Annotated[
        str | None,
        Option("Name of the model in replies.", default="the model spec", panel=SERVER),
    ] = None
    host: Annotated[
        str,
        Option(
            "Address to listen on; another than this machine needs keys (PRISM_API_KEYS) or "
            "--no-auth.",
            panel=SERVER,
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Interval(ge=0, le=65535), Option("Port; 0 for a free one.", panel=SERVER)
    ] = 8010
    auth: Annotated[
        bool,
        Option(
            "Without keys, answer every caller on another address than this machine.",
            names=("--auth/--no-auth",),
            panel=SERVER,
        ),
    ] = True
    cors: Annotated[
        tuple[str, ...],
        BeforeValidation(as_list),
        Option("Origin whose pages may call; repeatable.", names=("--cors",), panel=SERVER),
    ] = ()
    deadline: Annotated[float, Gt(0), Option("Most seconds of a request.", panel=SERVER)] = 60.0
    grace: Annotated[
        float,
        Gt(0),
        Option("Seconds for requests in flight after SIGTERM.", panel=SERVER),
    ] = 30.0
