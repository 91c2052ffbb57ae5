"""BEIR folders among the inputs of a command."""

from pathlib import Path

from prism_cli.files.compressed import plain_or_compressed
from prism_cli.files.names import beir_corpus


def is_beir(folder: str) -> bool:
    """Return whether the path is a BEIR folder."""
    return beir_file(folder, "corpus") is not None


def lacks_judgements(folder: str) -> bool:
    """Return whether the path is a BEIR folder without qrels."""
    return is_beir(folder) and not any((Path(folder) / "qrels").glob("*.tsv*"))


def beir_file(folder: str, part: str) -> str | None:
    """Return the file of a BEIR folder's part; None where `folder` is no such folder."""
    if beir_corpus(Path(folder)) is None:
        return None
    file = plain_or_compressed(Path(folder) / f"{part}.jsonl")
    return str(file) if file else None
