"""Model specs: the kinds of specs, the options that accept them, and the messages for others.

This module has the only table of kinds and options; the adapters are created in `commands`.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from prism_cli.wording import CORRECTED, EXAMPLE, most_similar

KINDS = {
    "hf": "a language model in this process",
    "st": "a sentence-transformers model in this process",
    "source": "the rows' own label and texts",
    "extractive": "the writer by rules, without a model",
    "bm25": "a search by words",
    "chats": "a chat model of a provider",
    "scores": "a reranker of a provider",
    "decides": "a decision model of a provider",
    "searches": "a web search",
}
_APIS = {
    "chats": ("openai",),
    "decides": ("openai-decisions", "systemone"),
    "scores": ("voyage", "cohere", "jina", "tei", "vllm-rerank"),
    "searches": ("exa", "tavily"),
}
_SHORT = {
    "smollm2": "hf",
    "prism-tiny": "hf",
    "minilm": "st",
    "extractive": "extractive",
    "bm25": "bm25",
    "exa": "searches",
    "tavily": "searches",
}
_NEAR = 0.75
"""Least similarity of a name to the intended one; 1 means equal."""


@dataclass(frozen=True, slots=True)
class Role:
    """An option that accepts specs.

    Attributes:
        takes: description of the accepted specs.
        kinds: the accepted kinds, of KINDS.
        example: a spec that works on any machine, or else the most common one.
        paths: True if a bare path or hub id is accepted too.
    """

    option: str
    commands: tuple[str, ...]
    takes: str
    kinds: tuple[str, ...]
    example: str
    paths: bool = False


_ANY_MODEL = "hf:prism-tiny (small, built in), PATH of a model or run, or a hub id"
ROLES = {
    "reranker": Role(
        "--model", ("rerank", "eval"), _ANY_MODEL, ("hf",), "hf:prism-tiny", paths=True
    ),
    "base": Role(
        "--model", ("train",), "hf:smollm2, PATH or a hub id", ("hf",), "hf:smollm2", paths=True
    ),
    "exported": Role(
        "MODEL", ("export",), "a run directory, hf:smollm2, PATH or a hub id", ("hf",),
        "hf:prism-tiny", paths=True,
    ),
    "teacher": Role(
        "--teacher", ("distill",),
        "st:minilm, st:PATH, st:HUB_ID, source (the rows' own label), or PROVIDER/MODEL of a "
        "reranker API",
        ("st", "source", "scores"), "st:minilm",
    ),
    "writer": Role(
        "--generator", ("distill",),
        "source (the rows' own source_contribution and source_evidence), extractive, hf:smollm2, "
        "hf:PATH, hf:HUB_ID, or PROVIDER/MODEL that chats",
        ("source", "extractive", "hf", "chats"), "extractive",
    ),
    "generator": Role(
        "--generator", ("rewrite-queries",),
        "extractive, hf:smollm2, hf:PATH, hf:HUB_ID, or PROVIDER/MODEL that chats",
        ("extractive", "hf", "chats"), "extractive",
    ),
    "synthesizer": Role(
        "--generator", ("collect synthesize",),
        "hf:smollm2, hf:PATH, hf:HUB_ID, or PROVIDER/MODEL that chats", ("hf", "chats"),
        "hf:smollm2",
    ),
    "judge": Role(
        "--judge", ("relabel",),
        "source, source:GRADE (a number above 0), hf:PATH, st:PATH, st:PATH:THRESHOLD, or "
        "PROVIDER/MODEL that chats or decides",
        ("source", "hf", "st", "chats", "decides"), "source",
    ),
    "rater": Role(
        "--judge", ("eval quality",),
        "hf:smollm2, hf:PATH, or PROVIDER/MODEL that chats or decides",
        ("hf", "chats", "decides"), "hf:smollm2",
    ),
    "reader": Role(
        "--reader", ("eval answers",),
        "hf:smollm2, hf:PATH, hf:HUB_ID, or PROVIDER/MODEL that chats", ("hf", "chats"),
        "hf:smollm2",
    ),
    "first_stage": Role(
        "--first-stage", ("eval",), "bm25, st:minilm, st:PATH, st:HUB_ID or a TREC run file",
        ("bm25", "st"), "bm25", paths=True,
    ),
    "searcher": Role(
        "--web", ("collect",), "exa, tavily, or PROVIDER/search of a provider whose api is one of "
        "these", ("searches",), "exa",
    ),
}  # fmt: skip


def spec_kind(spec: str, api: str | None = None) -> str | None:
    """Return the kind, of KINDS, of a spec; None for a bare path, hub id or unknown word.

    Args:
        api: the API of the provider in the spec; None without a provider.
    """
    prefix, colon, _ = spec.partition(":")
    if colon and prefix in ("hf", "st", "source"):
        return prefix
    if spec == "source":
        return spec
    if api is not None:
        return _kind_of_api(api)
    return _SHORT.get(spec)


def _kind_of_api(api: str) -> str:
    return next(kind for kind, apis in _APIS.items() if api in apis)


def fits(role: str, spec: str, api: str | None) -> bool:
    """Return whether the option of `role` accepts a spec of that kind."""
    option, kind = ROLES[role], spec_kind(spec, api)
    if kind is None:
        return option.paths
    # A short name without its prefix is not a spec of a model in this process.
    prefixed = kind not in ("hf", "st") or spec.startswith(f"{kind}:")
    return kind in option.kinds and (prefixed or option.paths)


def spec_error(
    role: str,
    spec: str,
    api: str | None,
    argv: Sequence[str],
    providers: Mapping[str, str] = MappingProxyType({}),
    models: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> str:
    """Return the accepted specs of the option of `role`, the kind of `spec`, and a command: the
    corrected one where the intended spec is known, an example where another kind of model was
    named.

    Args:
        argv: the command line as typed, on which the command is based.
        providers: provider name -> API.
        models: provider name -> known models.
    """
    option, kind = ROLES[role], spec_kind(spec, api)
    message = f"{option.option} {spec}: expected {option.takes}"
    accepted = [
        name for name, its_api in providers.items() if _kind_of_api(its_api) in option.kinds
    ]
    if accepted:
        message += f" (providers: {', '.join(accepted)})"
    is_wrong_kind = kind is not None and kind not in option.kinds
    if kind is not None and is_wrong_kind:
        others = [other for other in ROLES.values() if kind in other.kinds]
        where = ", ".join(
            f"{other.option} of prism {' and '.join(other.commands)}" for other in others
        )
        message += f"; {spec} is {KINDS[kind]}, for {where}"
    intended = _meant(option, spec, kind, accepted, models)
    if not intended and kind is None and "/" in spec and accepted:
        message += (
            f"; no provider is named {spec.partition('/')[0]}: a server of your own goes into "
            "--provider-file"
        )
    command = _command(spec, intended or (option.example if is_wrong_kind else spec), argv)
    return f"{message}\n{CORRECTED if intended else EXAMPLE}{command}" if command else message


def near_short_name(name: str, kinds: Collection[str]) -> str | None:
    """Return the built-in model or word of these kinds that `name` resembles, or is without its
    prefix; None where there is none."""
    short = {word: kind for word, kind in {**_SHORT, "source": "source"}.items() if kind in kinds}
    near = most_similar(name, short, _NEAR)
    return f"{short[near]}:{near}" if short.get(near) in ("hf", "st") else near or None


def near_miss(role: str, spec: str) -> str | None:
    """Return the built-in model that a spec of a local model resembles; None where it names one, or
    resembles none."""
    prefix, colon, rest = spec.partition(":")
    if not colon:
        prefix, rest = "hf", spec
        if role == "first_stage":  # a run file
            return None
    name = rest.partition(":")[0]
    if prefix not in ("hf", "st") or "/" in name:
        return None
    near = near_short_name(name, ("hf", "st"))
    return near if near != f"{prefix}:{name}" else None


def _meant(
    role: Role,
    spec: str,
    kind: str | None,
    providers: Sequence[str],
    models: Mapping[str, Collection[str]],
) -> str | None:
    """Return the intended spec of this role; None unless exactly one is likely."""
    if kind in ("hf", "st"):
        _, colon, name = spec.partition(":")
        if not colon:
            return f"{kind}:{spec}" if kind in role.kinds else None
        # The same model with the other library.
        return f"st:{name}" if kind == "hf" and "st" in role.kinds and "/" in name else None
    if kind is not None:
        return None
    named = [f"{name}/{spec}" for name in providers if spec in models.get(name, ())]
    if named:
        return named[0] if len(named) == 1 else None
    head, slash, model = spec.partition("/")
    if slash:
        near = most_similar(head, providers, _NEAR)
        return f"{near}/{model}" if near else None
    owners = {name: owner for owner in providers for name in models.get(owner, ())}
    close = most_similar(spec, owners, _NEAR)
    return near_short_name(spec, role.kinds) or (f"{owners[close]}/{close}" if close else None)


def _command(spec: str, right: str, argv: Sequence[str]) -> str:
    """Return the command line with the correct spec; "" where the wrong one is not in it."""
    typed = list(argv[1:])
    words = [
        right
        if word == spec
        else f"{word.removesuffix(spec)}{right}"
        if word.endswith(f"={spec}")
        else word
        for word in typed
    ]
    return shlex.join(["prism", *words]) if words != typed else ""
