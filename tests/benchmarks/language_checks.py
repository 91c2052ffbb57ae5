"""Misses and false alarms of the language rule for Latin scripts, on real texts.

python tests/benchmarks/language_checks.py [BEIR_DIR:CODE]… [--texts 400]

The texts are passages, their sentences and queries of the bundled corpus (de, en, es) and of BEIR
folders whose texts are all in the language with the given code. A miss is a text whose language is
uncertain. A false alarm is a text with the name of another language, or a sentence that is reported
as different from its own passage.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.domain.languages import language_difference, latin_language, other_language
from prism_cli.domain.languages import language_name as name_of
from prism_cli.domain.sentences import sentences
from tests.domain.passages import texts as bundled_passages
from tests.factories import read_jsonl
from tests.mini import CORPUS


def spread(texts: list[str], count: int) -> list[str]:
    """Return at most `count` different texts, evenly spaced."""
    texts = list(dict.fromkeys(texts))
    return texts[:: max(1, -(-len(texts) // count))]


def measure(name: str, code: str, passages: list[str], queries: list[str], count: int) -> None:
    """Print a line for each kind of text."""
    passages = spread(passages, count)
    parts = [part for passage in passages for part in sentences(passage)]
    for kind, texts in (("passages", passages), ("sentences", parts), ("queries", queries)):
        texts = spread(texts, count)
        started = time.perf_counter()
        misses = sum(latin_language(text) is None for text in texts)
        wrong = sum(other_language(text, name_of(code)) is not None for text in texts)
        each = (time.perf_counter() - started) / max(1, len(texts)) / 2 * 1e3
        print(f"{name:20} {code:3} {kind:10} {len(texts):5} texts {misses:5} misses {wrong:3} "
              f"false alarms {each:5.1f} ms each")  # fmt: skip
    alarms = sum(
        language_difference(part, passage) is not None
        for passage in passages
        for part in sentences(passage)
    )
    print(f"{name:20} {code:3} {len(parts)} sentences with their passages: {alarms} false alarms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", metavar="BEIR_DIR:CODE")
    parser.add_argument("--texts", type=int, default=400, help="of a kind and language, at most")
    options = parser.parse_args()
    latin_language("")  # loads the model
    asked = [
        row for split in ("train", "test") for row in read_jsonl(CORPUS / split / "queries.jsonl")
    ]
    for code in ("de", "en", "es"):
        queries = [row["text"] for row in asked if row["lang"] == code]
        measure("bundled corpus", code, bundled_passages(code), queries, options.texts)
    for folder in map(str, options.folders):
        path, _, code = folder.rpartition(":")
        passages, queries = (
            [row["text"] for row in read_jsonl(Path(path) / f"{part}.jsonl")]
            for part in ("corpus", "queries")
        )
        measure(Path(path).name, code, passages, queries, options.texts)


if __name__ == "__main__":
    main()
