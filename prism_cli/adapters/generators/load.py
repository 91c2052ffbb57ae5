"""Loading of the extractive generator."""

from prism_cli.adapters.generators.extractive import ExtractiveGenerator
from prism_cli.adapters.teachers.bi_encoder import TextEncoder
from prism_cli.adapters.teachers.st_files import st_path

_ENCODER = "st:minilm"


def load_extractive(max_sentences: int, device: str = "auto") -> ExtractiveGenerator:
    """Return the generator; its weights are loaded on first use.

    Raises:
        MissingPackageError: the embedded encoder is not installed.
    """
    return ExtractiveGenerator(TextEncoder(_ENCODER, st_path(_ENCODER), device), max_sentences)
