"""The request for an export."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportRequest:
    """An export to do.

    Attributes:
        spec: a model spec, or a run directory.
        output: the folder; None for RUN/export.
        say: prints a line for the user.
        dtype: "auto" (each tensor in the type of the base), or one of loading's DTYPES for all.
        quantize: a key of quantizing's METHODS, or None.
        profile: name of the prompt profile; overrides the model directory's.
        overwrite: replace an earlier export.
        strict: refuse a model with warnings.
    """

    spec: str
    output: Path | None
    say: Callable[[str], None]
    dtype: str = "auto"
    quantize: str | None = None
    profile: str | None = None
    overwrite: bool = False
    strict: bool = False
