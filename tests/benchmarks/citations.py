"""Time of citations, beside the time of `copying`, of 2 kB of evidence and a document of 100 kB.

    python tests/benchmarks/citations.py

The document is the bundled corpus, repeated. Times are process time, best of 9.
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from time import process_time

from prism_cli.domain.citations import _cited, _source, cite
from prism_cli.domain.copying import copying
from prism_cli.domain.sentences import sentences

CORPUS = Path(__file__).parents[2] / "prism_cli/samples/corpus"
SIZE, EVIDENCE = 100_000, 2_000


def milliseconds(action: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(9):
        _source.cache_clear()
        _cited.cache_clear()
        begun = process_time()
        action()
        best = min(best, process_time() - begun)
    return 1000 * best


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    paths = sorted(CORPUS.glob("*/corpus.jsonl"))
    rows = [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]
    english = " ".join(row["text"] for row in rows if row["text"].isascii())
    document = (english * (SIZE // len(english) + 1))[:SIZE]
    chosen = random.Random(1).sample(sentences(document), 20)
    swapped = [" ".join(sentence.split()[::-1]).replace(".", "") + "." for sentence in chosen]
    line = ("lorem ipsum dolor sit amet " * 8_000)[: 2 * SIZE]
    cases = {
        "copied sentences": (" ".join(chosen)[:EVIDENCE], document),
        "reordered sentences": (" ".join(swapped)[:EVIDENCE], document),
        "half of each": (" ".join(chosen[:7] + swapped[7:14])[:EVIDENCE], document),
        "of another document": (" ".join(chosen)[:EVIDENCE], line[:SIZE]),
        "one line of 200 kB": (line[:EVIDENCE], line),
        "one word repeated": ("word " * 400 + "other", "word " * 40_000),
        "tags only": ("<p></p>" * 285, "<p></p><br>" * 18_000),
        "one character repeated": ("中" * 700, "中" * 66_000),
    }
    print("case                     ms   copying ms  ratio")
    for name, (text, source) in cases.items():
        own = milliseconds(lambda text=text, source=source: cite(text, source))  # type: ignore[misc]
        other = milliseconds(lambda text=text, source=source: copying(text, source))  # type: ignore[misc]
        print(f"{name:22} {own:6.1f} {other:10.1f} {own / other:8.2f}")


if __name__ == "__main__":
    main()
