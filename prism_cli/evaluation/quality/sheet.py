"""A sheet for people: a sample of what was written, blind to who wrote it and to what was said of
it; a key beside it, and a guide."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from prism_cli.domain.rating_task import RATINGS, SEVERE, RatedTexts, guide
from prism_cli.domain.seeded_sample import seeded_hash
from prism_cli.domain.sheet_sample import Sampler, rounded_length, terciles
from prism_cli.domain.spreadsheet import cell
from prism_cli.errors import MissingDataError, RowError
from prism_cli.rows.results import result_pairs
from prism_cli.rows.row import Row, check_pair
from prism_cli.rows.written import Written, written
from prism_cli.shards.reader import Shard, read_shards
from prism_cli.shards.writer import whole_file
from prism_cli.stages.rating import rated_texts

TEXTS = RatedTexts._fields
COLUMNS = ("id", *TEXTS, *RATINGS, SEVERE, "remark")
_GUIDE = """\
How to fill in the sheet

Each row is a query, a document, and what was written about the document for that query: a
contribution (one sentence) and an evidence passage that is to replace the document. Hold both
against the document alone. Give each of the six ratings a whole number from 1 to 5, and say yes or
no to severe_invention; leave a cell empty where you cannot tell. Leave the column id as it is; the
order of rows and columns does not matter. Save as CSV. Texts that end in […] were cut.

"""


@dataclass(frozen=True, slots=True)
class SheetSummary:
    """What was written: rows of the sheet, rows it was drawn from, cells that were cut."""

    rows: int
    of: int
    cut: int


@dataclass(frozen=True, slots=True)
class SheetSource:
    """Where a sheet is drawn from.

    Attributes:
        shards: files that stay as they are.
        source: whose texts, as of `written`.
        limit: only the first so many rows.
    """

    shards: Sequence[Shard]
    source: str
    fields: Mapping[str, str]
    limit: int | None = None

    def pairs(self) -> Iterator[tuple[str, Row, Written]]:
        """(place, row, what was written) of pairs with a text; other rows are passed over."""
        for ref, row in islice(read_shards(self.shards, fields=self.fields), self.limit):
            try:
                pairs = result_pairs(row) if "documents" in row else [row]
                for number, pair in enumerate(pairs, 1):
                    check_pair(pair)
                    one = written(pair, self.source)
                    if one.contribution or one.evidence:
                        yield f"{ref}" if len(pairs) == 1 else f"{ref}#{number}", pair, one
            except RowError:
                continue  # the stage tells of it


def sample_sheet(
    path: Path,
    rows: SheetSource,
    *,
    count: int,
    seed: int,
) -> SheetSummary:
    """Write FILE.csv, FILE.key.jsonl and FILE.guide.txt.

    Strata are verdict (of the row, else of who wrote the texts), source, and the third of the
    document's length; rows come by the hash of (seed, query_id, doc_id). UTF-8 with BOM, CRLF.
    Three passes over the rows; held are `count` places a stratum.

    Args:
        count: rows of the sheet; pairs with the same texts are one.

    Raises:
        MissingDataError: no row has texts.
    """
    lengths: Counter[int] = Counter()
    for _, _, one in rows.pairs():
        lengths[rounded_length(len(one.document))] += 1
    if not lengths:
        raise MissingDataError("--sheet: no row has a contribution or evidence to be rated")
    short, middle = terciles(lengths)
    sampler = Sampler(count, seed)
    for _, row, one in rows.pairs():
        length = rounded_length(len(one.document))
        third = "short" if length <= short else "middle" if length <= middle else "long"
        stratum = (one.label or one.verdict or "", str(row.get("source") or ""), third)
        sampler.add(stratum, f"{one.query_id}\0{one.doc_id}", rated_texts(one).digest)
    chosen = set(sampler.chosen())
    found: dict[str, tuple[RatedTexts, dict[str, object]]] = {}
    for place, _, one in rows.pairs():
        texts = rated_texts(one)
        if texts.digest in chosen:
            key: dict[str, object] = {
                "query_id": one.query_id,
                "doc_id": one.doc_id,
                "place": place,
            }
            found.setdefault(texts.digest, (texts, key))
    return _written(path, found, sum(lengths.values()), seed)


def _written(
    path: Path, found: Mapping[str, tuple[RatedTexts, dict[str, object]]], of: int, seed: int
) -> SheetSummary:
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    keys, cut = [], 0
    for digest in sorted(found, key=lambda one: (seeded_hash(seed, "sheet", one), one)):
        texts, key = found[digest]
        cells = [cell(one) for one in texts]
        cut += sum(one for _, one in cells)
        lines.writerow([digest, *(one for one, _ in cells), *[""] * (len(RATINGS) + 2)])
        keys.append(orjson.dumps({"id": digest} | key, option=orjson.OPT_APPEND_NEWLINE))
    files = {
        path.with_suffix(".key.jsonl"): b"".join(keys),
        path.with_suffix(".guide.txt"): (_GUIDE + guide() + "\n").encode(),
        path: text.getvalue().encode("utf-8-sig"),
    }
    for place, content in files.items():
        with whole_file(place) as file:
            file.write(content)
    return SheetSummary(len(found), of, cut)
