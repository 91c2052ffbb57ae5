"""Passages of the bundled corpus by language, with their gold marks."""

from functools import cache

from tests.factories import Row, read_jsonl
from tests.mini import CORPUS, MINI

LANGUAGES = ("en", "de", "es", "zh", "ar", "hi")


@cache
def passages(language: str) -> dict[str, Row]:
    """Return passages by id: the English ones of MINI, or all of another language."""
    files = [CORPUS / split / "corpus.jsonl" for split in ("train", "test")]
    rows = [
        row
        for file in ([MINI / "corpus.jsonl"] if language == "en" else files)
        for row in read_jsonl(file)
        if language == "en" or row["_id"].startswith(f"{language}-")
    ]
    return {row["_id"]: row for row in rows}


def texts(language: str) -> list[str]:
    """Return the texts of the passages, without their titles."""
    return [row["text"] for row in passages(language).values()]


def marks(language: str) -> list[Row]:
    """Return the lines of gold.jsonl with an answer in one of the passages."""
    texts = passages(language)
    rows = [row for split in ("train", "test") for row in read_jsonl(CORPUS / split / "gold.jsonl")]
    answerable = [row for row in rows if row["answerable"] and row["doc_id"] in texts]
    return sorted(answerable, key=lambda row: str(row["doc_id"]))
