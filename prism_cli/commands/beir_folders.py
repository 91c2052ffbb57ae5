"""BEIR folders among the inputs of a command."""

from pathlib import Path

_BEIR_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")


def is_beir(given: str) -> bool:
    """Return whether the path is a BEIR folder."""
    return beir_file(given, "corpus") is not None


def lacks_judgements(given: str) -> bool:
    """Return whether the path is a BEIR folder without qrels."""
    return is_beir(given) and not any((Path(given) / "qrels").glob("*.tsv*"))


def beir_file(given: str, part: str) -> str | None:
    """Return the file of a BEIR folder's part; None where `given` is no such folder."""
    if not any((Path(given) / name).is_file() for name in _BEIR_CORPUS):
        return None
    files = (Path(given) / f"{part}{suffix}" for suffix in (".jsonl", ".jsonl.gz"))
    return next((str(file) for file in files if file.is_file()), None)
