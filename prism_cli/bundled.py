"""Folders of data in the package."""

from pathlib import Path

_PACKAGE = Path(__file__).parent
SAMPLES = _PACKAGE / "samples"
CORPUS = SAMPLES / "corpus"
WEIGHTS = _PACKAGE / "weights"
HELP = _PACKAGE / "help"
