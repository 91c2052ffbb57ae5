"""A sheet for people to rate: a sample of texts, without their authors, scores and verdicts; with a
key file and a guide."""

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
from prism_cli.rows.results import pairs_of
from prism_cli.rows.row import Row, check_pair
from prism_cli.rows.verdict_texts import VerdictTexts, read_verdict_texts
from prism_cli.shards.reader import Shard, read_shards
from prism_cli.shards.seen_keys import SeenKeys
from prism_cli.shards.writer import whole_file
from prism_cli.stages.rating import rated_texts

TEXTS = RatedTexts._fields
COLUMNS = ("id", *TEXTS, *RATINGS, SEVERE, "remark")
_GUIDE = """\
How to fill in the sheet

Each row is a query, a document, and what was written about the document for that query: a
contribution (one sentence) and an evidence passage that is to replace the document. Hold both
against the document alone. Give each of the six ratings a whole number from 1 to 5, and say yes or
no to severe_invention; leave a cell empty where you cannot tell. A severe invention limits overall
to 2, yours as the judge's. Leave the column id as it is; the
order of rows and columns does not matter. Save as CSV. Texts that end in […] were cut.

"""


@dataclass(frozen=True, slots=True)
class SheetSummary:
    """Numbers of rows in the sheet, of rows it was sampled from, and of cells that were cut."""

    rows: int
    population: int
    cut: int


@dataclass(frozen=True, slots=True)
class SheetSource:
    """Rows that a sheet is sampled from.

    Attributes:
        shards: files; they are read three times.
        source: whose texts, as for `written`.
        limit: only the first `limit` rows.
    """

    shards: Sequence[Shard]
    source: str
    fields: Mapping[str, str]
    limit: int | None = None

    def pairs(self) -> Iterator[tuple[str, Row, VerdictTexts]]:
        """Yield (location, row, texts) of pairs with a text; other rows are skipped."""
        for ref, row in islice(read_shards(self.shards, fields=self.fields), self.limit):
            try:
                pairs = pairs_of(row)
                for number, pair in enumerate(pairs, 1):
                    check_pair(pair)
                    texts = read_verdict_texts(pair, self.source)
                    if texts.contribution or texts.evidence:
                        yield f"{ref}" if len(pairs) == 1 else f"{ref}#{number}", pair, texts
            except RowError:
                continue  # the stage reports it


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
    Three passes over the rows; `count` keys per stratum and 24 bytes per pair are kept in memory.

    Args:
        count: rows of the sheet; pairs with the same texts count as one.

    Raises:
        MissingDataError: no row has texts.
    """
    lengths: Counter[int] = Counter()
    for _, _, texts in rows.pairs():
        lengths[rounded_length(len(texts.document))] += 1
    if not lengths:
        raise MissingDataError("--sheet: no row has a contribution or evidence to be rated")
    short, middle = terciles(lengths)
    sampler, seen = Sampler(count, seed), SeenKeys()
    for _, row, texts in rows.pairs():
        digest = rated_texts(texts).digest
        if not seen.add(digest):
            continue
        length = rounded_length(len(texts.document))
        third = "short" if length <= short else "middle" if length <= middle else "long"
        stratum = (texts.label or texts.verdict or "", str(row.get("source") or ""), third)
        sampler.add(stratum, f"{texts.query_id}\0{texts.doc_id}", digest)
    chosen = set(sampler.chosen())
    sample: dict[str, tuple[RatedTexts, dict[str, object]]] = {}
    for place, _, texts in rows.pairs():
        rated = rated_texts(texts)
        if rated.digest in chosen:
            key: dict[str, object] = {
                "query_id": texts.query_id,
                "doc_id": texts.doc_id,
                "place": place,
            }
            sample.setdefault(rated.digest, (rated, key))
    return _write(path, sample, sum(lengths.values()), seed)


def _write(
    path: Path,
    sample: Mapping[str, tuple[RatedTexts, dict[str, object]]],
    population: int,
    seed: int,
) -> SheetSummary:
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    keys, cut = [], 0
    for digest in sorted(sample, key=lambda digest: (seeded_hash(seed, "sheet", digest), digest)):
        texts, key = sample[digest]
        cells = [cell(text) for text in texts]
        cut += sum(was_cut for _, was_cut in cells)
        lines.writerow([digest, *(text for text, _ in cells), *[""] * (len(RATINGS) + 2)])
        keys.append(orjson.dumps({"id": digest} | key, option=orjson.OPT_APPEND_NEWLINE))
    files = {
        path.with_suffix(".key.jsonl"): b"".join(keys),
        path.with_suffix(".guide.txt"): (_GUIDE + guide() + "\n").encode(),
        path: text.getvalue().encode("utf-8-sig"),
    }
    for path, content in files.items():
        with whole_file(path) as file:
            file.write(content)
    return SheetSummary(len(sample), population, cut)
