"""Defaults that a model states for its own use, where the caller names no other value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """Values that suit a model best; None for each that it does not state.

    Attributes:
        window_tokens: most document tokens that it reads well at once.
        evidence_from: its source of evidence, model or selected.
        fuse: weight of the first stage in [0, 1], for documents that come with its scores.
    """

    window_tokens: int | None = None
    evidence_from: str | None = None
    fuse: float | None = None


NO_DEFAULTS = ModelDefaults()
