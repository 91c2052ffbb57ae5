"""The profile of a published reranker, detected from the chat template in its folder.

sentence-transformers' layout: modules.json lists Transformer and LogitScore, the template renders
one message of the role `query` and one of the role `document`, and a prompt of
config_sentence_transformers.json precedes them as `system`. Source: sentence-transformers 5.4
and later, base/modality.py and cross_encoder/modules/logit_score.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from prism_cli.domain.prompting import PROFILES, QWEN3_RERANKER, Profile
from prism_cli.errors import ModelError

_QUERY, _DOCUMENT = "\ue000query\ue001", "\ue000document\ue001"
_SHOWN = 40
"""Characters shown of each side where two prompts differ."""


def template_profile(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Profile | None:
    """Return the profile whose prompt equals the rendered chat template, byte for byte.

    The task of Qwen3-Reranker's template may differ from ours.

    Returns:
        None if the template is not a reranker's.

    Raises:
        ModelError: a sentence-transformers reranker with an unknown prompt, or whose score is read
            from other tokens.
    """
    score = _score_tokens(folder)
    rendered = list(_rendered(folder, tokenizer))
    profile = next(filter(None, map(_profile_of, rendered)), None)
    if score is None:
        return profile
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in ("yes", "no")}
    if score != (ids["yes"], ids["no"]):
        raise ModelError(
            f"model {folder}: its LogitScore reads the score from tokens {score[0]} and "
            f"{score[1]}, expected yes ({ids['yes']}) and no ({ids['no']}); it is a reranker "
            "of another kind. Name a profile with --profile to use it anyway"
        )
    if profile is None:
        raise ModelError(
            f"model {folder}: its chat template renders the prompt of no known profile "
            f"({', '.join(PROFILES)}), and another prompt would turn scores into noise. "
            f"{_difference(rendered)} Name a profile with --profile if the template is wrong"
        )
    return profile


def _score_tokens(folder: Path) -> tuple[Any, Any] | None:
    """Return the two tokens of LogitScore; None if modules.json does not list that module."""
    modules = _json(folder / "modules.json")
    for module in modules if isinstance(modules, list) else []:
        if isinstance(module, dict) and str(module.get("type")).endswith(".LogitScore"):
            settings = _object(folder / str(module.get("path")) / "config.json")
            return settings.get("true_token_id"), settings.get("false_token_id")
    return None


def _rendered(folder: Path, tokenizer: Any) -> Iterator[str]:
    """Yield prompts of the template around two placeholders, as sentence-transformers does."""
    if not tokenizer.chat_template:
        return
    settings = _object(folder / "sentence_bert_config.json", "processing_kwargs", "chat_template")
    settings.pop("restore_suffix", None)  # for cut prompts, not for the template
    name = _object(folder / "config_sentence_transformers.json").get("default_prompt_name")
    prompts = _object(folder / "config_sentence_transformers.json", "prompts")
    system = prompts.get(name) if isinstance(name, str) else None
    messages = [("system", system)] * bool(system) + [("query", _QUERY), ("document", _DOCUMENT)]
    for structured in (False, True):
        for options in ({}, {"add_generation_prompt": True}):
            chat = [
                {"role": role, "content": [{"type": "text", "text": text}] if structured else text}
                for role, text in messages
            ]
            try:
                text = tokenizer.apply_chat_template(chat, tokenize=False, **(settings | options))
            except (TemplateError, ValueError, TypeError, KeyError):
                continue
            if text.count(_QUERY) == text.count(_DOCUMENT) == 1 and "'text'" not in text:
                yield text


def _profile_of(prompt: str) -> Profile | None:
    for profile in PROFILES.values():
        if prompt == profile.prompt(_QUERY, _DOCUMENT):
            return profile
    start, _, rest = QWEN3_RERANKER.before_query.partition(QWEN3_RERANKER.instruct)
    instruct = prompt.removeprefix(start).partition(rest + _QUERY)[0]
    profile = QWEN3_RERANKER.with_instruct(instruct)
    return profile if prompt == profile.prompt(_QUERY, _DOCUMENT) else None


def _difference(prompts: list[str]) -> str:
    """Describe where the nearest prompt and profile differ."""
    if not prompts:
        return "It cannot render a query and a document at all."
    shared, prompt, profile = max(
        (
            (_common_length(prompt, profile.prompt(_QUERY, _DOCUMENT)), prompt, profile)
            for prompt in prompts
            for profile in PROFILES.values()
        ),
        key=lambda candidate: candidate[0],
    )
    expected = profile.prompt(_QUERY, _DOCUMENT)[shared : shared + _SHOWN]
    rendered = prompt[shared : shared + _SHOWN]
    return (
        f"Nearest is {profile.name}: behind {prompt[:shared][-_SHOWN:]!r} it has "
        f"{expected!r}, the template {rendered!r}."
    )


def _common_length(text: str, other: str) -> int:
    pairs = zip(text, other, strict=False)
    return next(
        (at for at, (a, b) in enumerate(pairs) if a != b),
        min(len(text), len(other)),
    )


def _object(path: Path, *keys: str) -> dict[str, Any]:
    """Read a JSON object, or the one at `keys` in it; {} if there is none.

    Raises:
        ModelError: it cannot be read, or is no object.
    """
    content: dict[str, Any] = {"": _json(path)}
    for key in ("", *keys):
        value = content.get(key)
        content = {} if value is None else value
        if not isinstance(content, dict):
            where = f"{path}: {key}" if key else str(path)
            raise ModelError(f"{where}: expected a JSON object, found {content!r:.40}")
    return content


def _json(path: Path) -> Any:
    """Read a JSON file; {} if there is none.

    Raises:
        ModelError: it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: expected JSON, found {error}") from error
