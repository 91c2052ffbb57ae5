"""The most tokens of a prompt: as many as were asked for, within what the model reads."""

import sys
from functools import cache
from typing import Any

from prism_cli.domain.defaults import MAX_TOKENS, MAX_TRAINING_TOKENS
from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.errors import ArgumentError
from prism_cli.wording import counted

_DEFAULTS = (MAX_TOKENS, MAX_TRAINING_TOKENS)


def readable_tokens(config: Any) -> int | None:
    """Return the tokens that a model of this config reads at once; None if it does not say.

    Scaled rotary positions count as vLLM counts them. Sliding windows do not: they limit what a
    layer sees of a text, not the text.
    """
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    if not positions:
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    scaled = positions
    if rope.get("rope_type") == "yarn":
        scaled = rope.get("original_max_position_embeddings") or positions
    if rope.get("rope_type") in ("yarn", "linear", "dynamic"):
        scaled *= rope.get("factor") or 1
    return max(int(positions), int(scaled))


def prompt_limit(
    max_tokens: int, config: Any, spec: str, defaults: ModelDefaults, *, room: int = 0
) -> int:
    """Return `max_tokens`, or what the model reads if that is less.

    A process says once that it lowered a default, unless the model reads documents in windows of
    its own: no prompt is that long then.

    Args:
        config, defaults: of the model; spec: the model as the user named it.
        room: tokens that must be left for a text.

    Raises:
        ArgumentError: `max_tokens` is no default, and more than the model reads.
    """
    readable = readable_tokens(config)
    if readable is None or max_tokens <= readable - room:
        return max_tokens
    if max_tokens not in _DEFAULTS:
        raise ArgumentError(
            f"max_tokens = {max_tokens}: expected at most {readable - room}, as model {spec} reads "
            f"{counted(readable, 'token')} (max_position_embeddings in its config.json"
            f"{f', {room} of them left for texts' if room else ''}); lower --max-tokens, or leave "
            "it out"
        )
    if defaults.window_tokens is None:
        _say(
            f"max_tokens is {readable - room:,} instead of {max_tokens:,}: this model (type "
            f"{config.get_text_config().model_type}) reads no longer prompts"
        )
    return readable - room


@cache
def _say(line: str) -> None:
    print(f"prism: {line}", file=sys.stderr, flush=True)
