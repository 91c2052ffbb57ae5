"""What an export is asked to do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportRequest:
    """Which model, in which form, to where.

    Attributes:
        spec: a model spec, or a run directory.
        output: the folder; None for RUN/export.
        dtype: "auto" (each tensor in the type that the base stores it in), or one of loading's
            DTYPES for all.
        quantize: a key of quantizing's METHODS, or None.
        profile: name of the prompt profile, over what the model's directory says.
        overwrite: replace an earlier export.
        strict: refuse a model that is warned of.
        say: tells the person at the terminal one line.
    """

    spec: str
    output: Path | None
    say: Callable[[str], None]
    dtype: str = "auto"
    quantize: str | None = None
    profile: str | None = None
    overwrite: bool = False
    strict: bool = False
