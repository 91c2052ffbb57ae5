"""`prism split --exclude-eval` at scale, and its MinHash against datasketch's.

python tests/benchmarks/split_pairs.py TEXT_DIR [TEXT_DIR …] --exclude-eval BEIR_DIR [BEIR_DIR …]
    [--rows 100000] [--folder DIR] [--minhash]

TEXT_DIRs are BEIR folders whose text the rows are made of: five documents of 100 to 250 words to a
query, one of them positive; queries are real ones crossed with each other. A tenth of queries and
of documents are near-duplicates of earlier ones (one word in 12, in 30 is another), and in one row
of a hundred a query or a relevant document of a test set stands, as it is or with small changes.
The command runs as typed, in a process of its own; `peak` is its largest resident memory, `found`
the share of the planted texts that is on neither side.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))


def read(folder: Path, name: str) -> list[str]:
    """Return the texts of a BEIR file."""
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def relevant(folder: Path) -> list[str]:
    """Return the relevant documents of a set's test split."""
    judged = (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    expected_ids = {line.split("\t")[1] for line in judged if float(line.split("\t")[2]) > 0}
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        rows = map(json.loads, file)
        return [row["text"] for row in rows if row["_id"] in expected_ids]


def asked(folder: Path) -> list[str]:
    """Return the queries of a set's test split."""
    judged = (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    expected_ids = {line.split("\t")[0] for line in judged}
    with (folder / "queries.jsonl").open(encoding="utf-8") as file:
        return [row["text"] for row in map(json.loads, file) if row["_id"] in expected_ids]


class Maker:
    """Generator of many rows of real words, reproducible."""

    def __init__(self, texts: list[Path], tests: list[Path]) -> None:
        self.dice = random.Random(0)
        self.queries = [text.split() for folder in texts for text in read(folder, "queries")]
        self.words = " ".join(text for source in texts for text in read(source, "corpus")).split()
        self.eval_queries = [text for folder in tests for text in asked(folder)]
        self.eval_documents = [text for folder in tests for text in relevant(folder)]
        self.old_queries: list[str] = ["what is known about it?"]
        self.old_documents: list[str] = ["nothing is known about it"]

    def changed(self, text: str, one_in: int) -> str:
        """Return `text` with some words replaced: one, or one in `one_in`."""
        parts = text.split()
        for _ in range(max(1, len(parts) // one_in)):
            parts[self.dice.randrange(len(parts))] = self.dice.choice(self.words)
        return " ".join(parts)

    def query(self) -> str:
        """Return two halves of real queries, or a near-duplicate of an earlier query."""
        if self.dice.random() < 0.1:
            return self.changed(self.dice.choice(self.old_queries), 12)
        first, other = self.dice.choice(self.queries), self.dice.choice(self.queries)
        text = " ".join(first[: len(first) * 6 // 10] + other[len(other) * 4 // 10 :])
        self.keep(self.old_queries, text)
        return text

    def document(self) -> str:
        """Return two windows of real text, or a near-duplicate of an earlier document."""
        if self.dice.random() < 0.1:
            return self.changed(self.dice.choice(self.old_documents), 30)
        parts = []
        for _ in range(2):
            start = self.dice.randrange(len(self.words))
            parts += self.words[start : start + self.dice.randrange(50, 125)]
        text = " ".join(parts)
        self.keep(self.old_documents, text)
        return text

    def keep(self, texts_kept: list[str], text: str) -> None:
        """Keep a text; replace another one if there are many."""
        if len(texts_kept) < 20_000:
            texts_kept.append(text)
        else:
            texts_kept[self.dice.randrange(len(texts_kept))] = text

    def write(self, path: Path, count: int) -> None:
        """Yield `count` rows; `planted` names the text from a test set."""
        import orjson

        query = ""
        with path.open("wb", buffering=1 << 20) as file:
            for number in range(count):
                if number % 5 == 0:
                    query = self.query()
                row = {"query": query, "document": self.document(), "source": f"s{number // 5 % 3}"}
                row["verdict"] = "no" if number % 5 else "yes"
                if self.eval_queries and number % 100 == 0:
                    kind = ("query", "near query", "document", "near document")[number // 100 % 4]
                    field = kind.removeprefix("near ")
                    pool = self.eval_queries if field == "query" else self.eval_documents
                    text = self.dice.choice(pool)
                    if kind.startswith("near"):  # a letter more, or one word in 60
                        text = text + "s" if field == "query" else self.changed(text, 60)
                    row |= {field: text, "planted": kind}
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def planted(path: Path) -> dict[str, int]:
    """Count the planted rows of each kind in a file."""
    import orjson

    counts: dict[str, int] = {}
    with path.open("rb") as file:
        for line in file:
            if b'"planted"' in line:
                kind = orjson.loads(line)["planted"]
                counts[kind] = counts.get(kind, 0) + 1
    return counts


def split(rows: Path, tests: list[Path], count: int) -> None:
    """Run the command and print what it took."""
    out = rows.parent / "out"
    words = [sys.executable, "-m", "prism_cli", "split", str(rows), "-o", str(out)]
    words += [word for folder in tests for word in ("--exclude-eval", str(folder))]
    started = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stderr)
    put, left = planted(rows), [planted(out / f"{side}.jsonl") for side in ("train", "dev")]
    shares = {
        kind: f"{1 - sum(one.get(kind, 0) for one in left) / there:.3f}"
        for kind, there in put.items()
    }
    print(
        f"{count:,} rows, {rows.stat().st_size / count:.0f} bytes each: {seconds:.0f} s, "
        f"{count / seconds:,.0f} rows/s, {used.ru_utime + used.ru_stime:.0f} processor seconds, "
        f"peak {used.ru_maxrss / 1024:.0f} MiB; found {shares}",
        flush=True,
    )


def minhash(maker: Maker, count: int) -> None:
    """Time signatures of `count` documents, ours and datasketch's, and its index of them."""
    import psutil
    from datasketch import MinHash, MinHashLSH

    from prism_cli.domain.near_duplicates import (
        PERMUTATIONS,
        THRESHOLD,
        document_shingles,
        normalised,
        signatures,
    )  # fmt: skip

    texts = [normalised(maker.document()) for _ in range(count)]
    started = time.perf_counter()
    ours = signatures([document_shingles(text) for text in texts])
    print(f"ours: {(time.perf_counter() - started) / count * 1e6:.0f} us a document, "
          f"{ours.nbytes / count:.0f} bytes on disk")  # fmt: skip
    started = time.perf_counter()
    shingled = [{" ".join(words[at : at + 3]).encode() for at in range(max(1, len(words) - 2))}
                for words in (text.split() for text in texts)]  # fmt: skip
    theirs = MinHash.bulk(shingled, num_perm=PERMUTATIONS)
    print(f"datasketch: {(time.perf_counter() - started) / count * 1e6:.0f} us a document")
    del shingled
    held = psutil.Process().memory_info().rss
    started = time.perf_counter()
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    with index.insertion_session() as session:
        for number, pair in enumerate(theirs):
            session.insert(number, pair)
    print(f"datasketch's index: {(time.perf_counter() - started) / count * 1e6:.0f} us and "
          f"{(psutil.Process().memory_info().rss - held) / count:.0f} bytes of memory a document "
          "more")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path, nargs="+", metavar="TEXT_DIR")
    parser.add_argument("--exclude-eval", type=Path, nargs="*", default=[], metavar="BEIR_DIR")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to put about 4 KB a row")
    parser.add_argument("--minhash", action="store_true", help="compare with datasketch instead")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    maker = Maker(options.texts, options.exclude_eval)
    if options.minhash:
        minhash(maker, options.rows)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["PRISM_STATE"] = folder
        rows = Path(folder) / "rows.jsonl"
        started = time.perf_counter()
        maker.write(rows, options.rows)
        print(f"made in {time.perf_counter() - started:.0f} s", flush=True)
        split(rows, [path.resolve() for path in options.exclude_eval], options.rows)


if __name__ == "__main__":
    main()
