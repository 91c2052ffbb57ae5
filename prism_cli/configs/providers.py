"""Providers of paid APIs: their models, prices and limits.

Read from recipes/providers.toml, then $XDG_CONFIG_HOME/prism/providers.toml, then --provider-file
(or PRISM_PROVIDER_FILE); a later file adds to and overrides an earlier one.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prism_cli.configs.load import merge_layer, read_toml
from prism_cli.configs.problems import nearest_name, reason_of, shown
from prism_cli.configs.recipes import recipes_root
from prism_cli.errors import ConfigError, MissingDataError

Api = Literal[
    "openai", "openai-decisions", "systemone", "voyage", "cohere", "jina", "tei", "vllm-rerank",
    "exa", "tavily",
]  # fmt: skip
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_VARIABLE = re.compile(r"(?![A-Z0-9]{16})[A-Z_][A-Z0-9_]*")
"""A name of an environment variable that cannot be a key: keys have lower-case letters, or are long
and without `_`."""
_OF_THE_SYSTEM = frozenset(
    str.split(
        "PATH HOME USER LOGNAME SHELL PWD OLDPWD LANG LC_ALL TERM HOSTNAME TMPDIR DISPLAY EDITOR "
        "PYTHONPATH VIRTUAL_ENV XDG_CONFIG_HOME XDG_CACHE_HOME LD_LIBRARY_PATH SSH_AUTH_SOCK"
    )
)


def is_loopback(url: str) -> bool:
    """Return whether requests to the address stay on this machine."""
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False


class _Table(BaseModel):
    """Table of a provider file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ModelPricing(_Table):
    """Prices, limits and request options of one model."""

    usd_per_million_input: float | None = Field(None, ge=0)
    usd_per_million_output: float | None = Field(None, ge=0)
    usd_per_thousand_searches: float | None = Field(
        None, ge=0, description="Price of 1,000 calls of a reranker or a search API, if it has one."
    )
    context_tokens: int | None = Field(None, ge=1)
    request_tokens: int | None = Field(
        None, ge=1, description="Tokens a call of a reranker, its query counted once a document."
    )
    max_documents: int | None = Field(None, ge=1, description="Documents or questions a call.")
    batch_price_factor: float = Field(
        0.5, ge=0, description="Price of a reply in a batch file, as a share of a call's."
    )
    answer_tokens: tuple[int, ...] = Field(
        (1,),
        min_length=1,
        description="max_tokens of a one-word answer; further numbers are for further attempts.",
    )
    takes_temperature: bool = True
    tokens_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Sent as it is, besides all else."
    )

    @property
    def priced(self) -> bool:
        """True if it has a price."""
        by_token = self.usd_per_million_input is not None
        return by_token or self.usd_per_thousand_searches is not None

    def usd(self, given: int = 0, answered: int = 0, searches: int = 0) -> float:
        """Return the price of tokens, in and out, and searches; 0 without a price."""
        tokens = given * (self.usd_per_million_input or 0)
        tokens += answered * (self.usd_per_million_output or 0)
        return tokens / 1e6 + searches * (self.usd_per_thousand_searches or 0) / 1000


class Provider(_Table):
    """Address, API, rate limits and models of one server."""

    api: Api
    base_url: str
    key_env: str = Field("", description="Name of the variable that holds the key; '' for none.")
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    batches: bool = Field(False, description="Whether it takes OpenAI's batch files (--batch).")
    concurrency: int = Field(64, ge=1, le=1000, description="Calls in flight, at most.")
    timeout_seconds: float = Field(60.0, gt=0, description="Of one attempt without a reply.")
    deadline_seconds: float = Field(
        180.0,
        gt=0,
        description="Of one question, retries included, without waits for the limits above.",
    )
    models: dict[str, ModelPricing] = Field(default_factory=dict)

    @field_validator("base_url")
    @classmethod
    def _safe(cls, url: str) -> str:
        parts = urlsplit(url)  # raises ValueError for a port or a host that cannot be
        _ = parts.port
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("expected an address such as https://host/v1")
        if parts.scheme == "http" and not is_loopback(url):
            raise ValueError("expected https; plain http is for this machine alone")
        if "@" in parts.netloc:
            raise ValueError("a key does not belong into an address; name its variable in key_env")
        path = unquote(parts.path, errors="strict")
        if (
            set("?#") & set(url)
            or set("?#%;\\") & set(path)
            or not path.isprintable()
            or " " in url
        ):
            raise ValueError(
                "an address ends with its path; paths of calls are put behind it, so that nothing "
                "after ? or # would reach the server as meant, nor parameters in the path "
                "(extra_body sends more fields, a key goes through key_env)"
            )
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _no_key(cls, name: str) -> str:
        if name and not _can_hold_a_key(name):
            raise ValueError(
                "expected the name of an environment variable, never the key itself: upper-case "
                "letters, digits and _, such as LAB_API_KEY (the value is not shown)"
            )
        return name

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if self.deadline_seconds < self.timeout_seconds:
            raise ValueError("deadline_seconds is below timeout_seconds")
        return self


class ProviderBook(_Table):
    """Providers by name."""

    providers: dict[str, Provider]

    def named(self, spec: str) -> tuple[Provider, str, ModelPricing] | None:
        """Provider, model and card of `provider/model`; None where no provider is named so. A
        model that is not listed has a card without a price."""
        name, slash, model = spec.partition("/")
        if not slash or not model or name not in self.providers:
            return None
        provider = self.providers[name]
        return provider, model, provider.models.get(model) or ModelPricing.model_validate({})


def load_providers(file: str | None = None) -> ProviderBook:
    """Return the providers of all files.

    Args:
        given: the file of --provider-file, else that of PRISM_PROVIDER_FILE.

    Raises:
        ConfigError: every problem, a line each.
        MissingDataError: the given file is not there.
    """
    file = file or os.environ.get("PRISM_PROVIDER_FILE")
    if file and not Path(file).is_file():
        raise MissingDataError(f"{file}: no such provider file")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    own = home / "prism" / "providers.toml"
    paths = [recipes_root() / "providers.toml", *([own] if own.is_file() else [])]
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for path in [*paths, *([Path(file)] if file else [])]:
        layer = read_toml(path)
        problems += _keys_that_move(merged, layer, path)
        merge_layer(merged, layer, {}, str(path))
        try:
            book = ProviderBook.model_validate(merged)
        except ValidationError as error:
            raise ConfigError([*problems, *_told(error, path)]) from None
    if problems:
        raise ConfigError(problems)
    return book


def _keys_that_move(before: Mapping[str, Any], layer: Mapping[str, Any], path: Path) -> list[str]:
    """A key must not go to another host than that of the provider that names it first; a provider
    itself may be moved to this machine."""
    known = _tables(before.get("providers"))
    owners: dict[str, dict[str, str]] = {}
    for name, old in known.items():
        hosts = owners.setdefault(str(old.get("key_env")), {})
        hosts.setdefault(_host(old.get("base_url")), name)
    problems = []
    for name, new in _tables(layer.get("providers")).items():
        both = known.get(name, {}) | new
        key, url = both.get("key_env"), str(both.get("base_url"))
        if not isinstance(key, str) or not _can_hold_a_key(key):
            continue  # none, or refused as it is
        owned = owners.setdefault(key, {})
        if not owned or _host(url) in owned:
            owned.setdefault(_host(url), name)
            continue
        if is_loopback(url) and known.get(name, {}).get("key_env") == key:
            continue
        host, owner = next(iter(owned.items()))
        problems.append(
            f"{path}: providers.{name}: {key} holds the key of {owner} at {host}, and a key does "
            f"not go to another host ({_host(url)}); give key_env a variable of its own"
        )
    return problems


def _can_hold_a_key(variable: str) -> bool:
    return bool(_VARIABLE.fullmatch(variable)) and variable not in _OF_THE_SYSTEM


def _host(url: object) -> str:
    """Host and port of an address, where it has them; one name for all servers of this machine."""
    if is_loopback(str(url)):
        return "this machine"
    try:
        parts = urlsplit(str(url))
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return str(url)
    return f"{parts.hostname}:{port}".removesuffix(":443")


def _tables(value: object) -> dict[str, dict[str, Any]]:
    tables = value.items() if isinstance(value, dict) else ()
    return {name: table for name, table in tables if isinstance(table, dict)}


def _told(error: ValidationError, path: Path) -> list[str]:
    lines = []
    for item in error.errors():
        place = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            # providers.NAME.KEY or providers.NAME.models.MODEL.KEY
            levels: dict[int, type[_Table]] = {1: ProviderBook, 3: Provider}
            cls = levels.get(len(item["loc"]), ModelPricing)
            hint = nearest_name("key", str(item["loc"][-1]), list(cls.model_fields))
            lines.append(f"{path}: {place}: {hint}")
        else:
            found = "" if _may_hold_a_key(item["loc"], item["input"]) else shown(item["input"])
            lines.append(f"{path}: {place}: {reason_of(item)}{found and f', found {found}'}")
    return lines


def _may_hold_a_key(place: Sequence[int | str], value: object) -> bool:
    """Return whether a refused value may be, or contain, a key."""
    in_address = place[-1:] == ("base_url",) and set("@?#;%") & set(str(value))
    return place[-1:] == ("key_env",) or isinstance(value, dict) or bool(in_address)
