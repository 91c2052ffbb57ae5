"""Survey of the answers stage: what must hold of all rows before a reader is asked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import orjson

from prism_cli.engine.stage import MAX_GROUP_ROWS
from prism_cli.engine.survey import LocatedRow
from prism_cli.errors import MissingDataError, UsageError
from prism_cli.evaluation.answers.contexts import AT_EQUAL_LENGTH
from prism_cli.evaluation.quality.gold_rows import GoldRows
from prism_cli.rows.results import pairs_of
from prism_cli.rows.row import Row, doc_id, query_id, query_key
from prism_cli.rows.verdict_texts import read_verdict_texts
from prism_cli.shards.spill import SeenTexts


def group_key(row: Row) -> bytes:
    """Return the query key of a pair row; empty for a query with documents."""
    return b"" if "documents" in row else query_key(row)


@dataclass(frozen=True)
class AnswersSurvey:
    """Survey of three conditions: rows of a query are together, the gold speaks of some, and there
    are texts to read; arguments as for `AnswersStage`."""

    gold: GoldRows
    contexts: Sequence[str]
    source: str

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return the ids of the first pair, two facts, and key, size, query_id and query of each
        group of adjacent rows."""
        first: tuple[str, str] | None = None
        marked = has_evidence = False
        groups: list[tuple[str, int, str, str]] = []
        for key, group in groupby((row for *_, row in rows), group_key):
            size = 0
            for size, row in enumerate(group, 1):  # noqa: B007
                for pair in pairs_of(row):
                    first = first or (query_id(pair), doc_id(pair))
                    has_evidence |= bool(read_verdict_texts(pair, self.source).evidence)
            marked = marked or self.gold.of_query(query_id(row)) is not None
            groups.append((key.hex(), size, query_id(row), row["query"]))
        return orjson.dumps([first, marked, has_evidence, groups])

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return b"".

        Raises:
            UsageError, MissingDataError: it does not hold.
        """
        first: list[str] | None = None
        marked = has_evidence = False
        seen, last, number, rows = SeenTexts(), "", 0, 0
        for part in parts:
            first_here, marked_here, evidence_here, groups = orjson.loads(part)
            first = first or first_here
            marked, has_evidence = marked or marked_here, has_evidence or evidence_here
            for key, size, identity, query in groups:
                goes_on = key == last
                number, rows = (number, rows + size) if goes_on else (number + 1, size)
                last = key
                if key and (
                    seen.conflicts(bytes.fromhex(key), str(number).encode())
                    or rows > MAX_GROUP_ROWS
                ):
                    raise UsageError(
                        f"rows of the query {query!r} (query_id {identity!r}) are apart, or more "
                        f"than {MAX_GROUP_ROWS:,}: the reader reads the documents of a query "
                        "together. Nothing was asked; --sort-queries puts them together"
                    )
        if first is not None and not marked:
            raise self.gold.no_match(*first)
        lacking = [name for name in self.contexts if name in (*AT_EQUAL_LENGTH, "evidence")]
        if first is not None and lacking and not has_evidence:
            raise MissingDataError(
                f"no row has evidence, which {', '.join(lacking)} need: `prism rerank` writes it "
                "(without --no-evidence), or --contexts names others, such as nothing,documents. "
                "Nothing was asked"
            )
        return b""
