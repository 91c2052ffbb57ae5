"""BEIR folders among the inputs of a command."""

from pathlib import Path

_BEIR_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")


def is_beir(folder: str) -> bool:
    """Return whether the path is a BEIR folder."""
    return beir_file(folder, "corpus") is not None


def lacks_judgements(folder: str) -> bool:
    """Return whether the path is a BEIR folder without qrels."""
    return is_beir(folder) and not any((Path(folder) / "qrels").glob("*.tsv*"))


def beir_file(folder: str, part: str) -> str | None:
    """Return the file of a BEIR folder's part; None where `given` is no such folder."""
    if not any((Path(folder) / name).is_file() for name in _BEIR_CORPUS):
        return None
    files = (Path(folder) / f"{part}{suffix}" for suffix in (".jsonl", ".jsonl.gz"))
    return next((str(file) for file in files if file.is_file()), None)
