"""A generator from its spec."""

from prism_cli.adapters.generators.extractive import ExtractiveGenerator
from prism_cli.adapters.teachers.bi_encoder import TextEncoder
from prism_cli.adapters.teachers.st_files import st_path
from prism_cli.errors import PrerequisiteError, UsageError

_PAID = ("openrouter/", "bailian/", "deepseek/")
_ENCODER = "st:minilm"


def load_generator(spec: str, max_sentences: int, device: str = "auto") -> ExtractiveGenerator:
    """The generator of `spec`; its weights are loaded when it is asked.

    Raises:
        UsageError: no such generator.
        PrerequisiteError: one behind a provider, which this version does not have.
        MissingPackageError: the embedded encoder is not installed.
    """
    if spec.startswith(_PAID):
        raise PrerequisiteError(
            f"{spec}: this version has the local generator only; no text was written and nothing "
            "was paid. `--generator extractive` needs no key"
        )
    if spec != ExtractiveGenerator.spec:
        raise UsageError(f"{spec}: no such generator; expected extractive")
    return ExtractiveGenerator(TextEncoder(_ENCODER, st_path(_ENCODER), device), max_sentences)
