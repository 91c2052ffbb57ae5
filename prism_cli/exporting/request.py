"""The request for an export."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_cli.errors import ModelError


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

    def warn(self, warnings: Sequence[str]) -> None:
        """Print the warnings about the model.

        Raises:
            ModelError: there are warnings, with `strict`.
        """
        if warnings and self.strict:
            raise ModelError(
                f"{self.spec}: {'; '.join(warnings)}. Nothing was published, because of "
                "--strict-model"
            )
        for warning in warnings:
            self.say(f"warning: {warning}")
