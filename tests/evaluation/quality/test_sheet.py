"""Sampling of the sheet for people: pairs with the same texts count as one."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import orjson

from prism_cli.evaluation.quality.sheet import SheetSource, sample_sheet
from prism_cli.shards.shard import Shard


def sampled_sources(pairs: Iterable[tuple[str, int]], count: int, folder: Path) -> Counter[str]:
    """Return the rows of a sheet by source; pairs are (source, number of the text)."""
    rows = [
        {
            "query_id": f"{source}{number}",
            "query": "q",
            "doc_id": source,
            "document": f"text {number:04}",
            "verdict": "yes",
            "contribution": "It says so.",
            "source": source,
        }
        for source, number in pairs
    ]
    file, sheet = folder / "rows.jsonl", folder / "s.csv"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    source = SheetSource([Shard(file, str(file))], "auto", {})
    sample_sheet(sheet, source, count=count, seed=7)
    keys = sheet.with_suffix(".key.jsonl").read_bytes().splitlines()
    return Counter(orjson.loads(key)["doc_id"] for key in keys)


def test_texts_that_come_again_do_not_enlarge_the_share_of_their_source(tmp_path: Path) -> None:
    repeated = [("a", number) for number in range(100)] * 5
    once = [("b", number) for number in range(100, 200)]
    assert sampled_sources([*repeated, *once], 10, tmp_path) == {"a": 5, "b": 5}


def test_texts_of_two_sources_leave_no_row_of_the_sheet_out(tmp_path: Path) -> None:
    pairs = [(source, number) for source in "ab" for number in range(20)]
    assert sampled_sources(pairs, 20, tmp_path).total() == 20
