"""Rows tokenized once, into an Arrow file that is mapped, not loaded, whatever their number.

The file is committed whole beside a note of what made it; a resumed run with the same rows and the
same tokenizer uses it again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import orjson
from datasets.arrow_writer import ArrowWriter
from numpy.typing import NDArray

from prism_cli.domain.mixture import Pools
from prism_cli.domain.objectives import Lesson, lesson
from prism_cli.errors import MissingDataError, RowError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.rows.row import Dropped, Rejected, Row, RowRef, check_pair, document_text, query_id
from prism_cli.shards.reader import find_shards, measure, read_rows
from prism_cli.shards.writer import whole_file

_CHUNK_ROWS = 512
_FORMAT = 1
_COLUMNS = datasets.Features(
    {
        "prompt": datasets.List(datasets.Value("int32")),
        "target": datasets.List(datasets.Value("int32")),
        "teacher_score": datasets.Value("float32"),
        "verdict": datasets.Value("int8"),
        "pointwise": datasets.Value("bool"),
        "sft": datasets.Value("bool"),
        "query_id": datasets.Value("string"),
        "place": datasets.Value("string"),
    }
)


@dataclass(frozen=True)
class TokenizedRows:
    """The usable rows of a run, on disk.

    Attributes:
        counts: rows, pointwise, sft, both, truncated, dropped (by reason), rejected.
        digests: input file -> SHA-256 of its bytes.
    """

    table: datasets.Dataset
    counts: dict[str, Any]
    digests: dict[str, str]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def pools(self) -> Pools:
        """Row numbers by objective."""
        return Pools(np.flatnonzero(self.column("sft")), np.flatnonzero(self.column("pointwise")))

    def column(self, name: str) -> NDArray[Any]:
        """One scalar column of all rows."""
        values: NDArray[Any] = self.table.data.column(name).to_numpy()
        return values

    def draws(self, rows: Sequence[int], from_sft: Sequence[bool]) -> list[TokenizedRow]:
        """The drawn rows; those not from the sft pool have the pointwise objective alone."""
        found = self.table[[int(row) for row in rows]]
        return [
            TokenizedRow(
                prompt=found["prompt"][i],
                target=found["target"][i] if own and found["sft"][i] else [],
                teacher_score=found["teacher_score"][i] if found["pointwise"][i] else 0.0,
                pointwise=bool(found["pointwise"][i]),
                place=found["place"][i],
            )
            for i, own in enumerate(from_sft)
        ]


def tokenize(
    inputs: Sequence[str],
    encoder: PromptEncoder,
    folder: Path,
    *,
    fields: dict[str, str] | None = None,
    limit: int | None = None,
    name: str = "train",
) -> TokenizedRows:
    """The rows of `inputs` as `folder`/NAME.arrow; bad ones in `folder`/../NAME.rejects.jsonl.

    Raises:
        MissingDataError: no input, or no usable row in it; says where the rows went.
    """
    shards = find_shards(inputs)
    digests = {shard.name: measure(shard.path).sha256 for shard in shards}
    key = _fingerprint(encoder, digests, fields, limit)
    table_path, note_path = folder / f"{name}.arrow", folder / f"{name}.json"
    rejects_path = folder.parent / f"{name}.rejects.jsonl"
    note = _note(note_path)
    if note.get("key") != key or not table_path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        note_path.unlink(missing_ok=True)
        part = table_path.with_suffix(".part")
        counts = _write(inputs, encoder, part, rejects_path, fields, limit)
        part.replace(table_path)
        note = {"key": key, "counts": counts}
        with whole_file(note_path) as file:
            file.write(orjson.dumps(note, option=orjson.OPT_INDENT_2))
    counts = note["counts"]
    if not counts["rows"]:
        raise MissingDataError(
            f"{', '.join(inputs)}: no row that can be trained on: {counts['rejected']} rejected "
            f"({rejects_path}), dropped: {counts['dropped'] or 'none'}"
        )
    return TokenizedRows(datasets.Dataset.from_file(str(table_path)), counts, digests)


def _write(
    inputs: Sequence[str],
    encoder: PromptEncoder,
    part: Path,
    rejects_path: Path,
    fields: dict[str, str] | None,
    limit: int | None,
) -> dict[str, Any]:
    rejected: list[Rejected] = []
    dropped: Counter[str] = Counter()
    counts: Counter[str] = Counter(rows=0, pointwise=0, sft=0, both=0, truncated=0)
    rows = islice(
        read_rows(inputs, fields=fields, check=check_pair, on_reject=rejected.append), limit
    )
    writer = ArrowWriter(features=_COLUMNS, path=str(part), writer_batch_size=_CHUNK_ROWS)
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        for record, truncated in _records(chunk, encoder, rejected, dropped):
            writer.write(record)
            counts["rows"] += 1
            counts["pointwise"] += record["pointwise"]
            counts["sft"] += record["sft"]
            counts["both"] += record["pointwise"] and record["sft"]
            counts["truncated"] += truncated
    writer.finalize()
    if rejected:
        with whole_file(rejects_path) as file:
            for one in rejected:
                file.write(one.line)
    else:
        rejects_path.unlink(missing_ok=True)
    return {**counts, "dropped": dict(dropped), "rejected": len(rejected)}


def _records(
    chunk: Sequence[tuple[RowRef, Row]],
    encoder: PromptEncoder,
    rejected: list[Rejected],
    dropped: Counter[str],
) -> Iterator[tuple[dict[str, Any], bool]]:
    useful: list[tuple[RowRef, Row, Lesson]] = []
    for ref, row in chunk:
        try:
            found = lesson(row)
        except RowError as error:
            rejected.append(Rejected(ref, error.field, error.reason, orjson.dumps(row)))
            continue
        if isinstance(found, Dropped):
            dropped[found.reason] += 1
        else:
            useful.append((ref, row, found))
    documents = encoder.document_ids([document_text(row) for _, row, _ in useful])
    for (ref, row, found), ids in zip(useful, documents, strict=True):
        try:
            prompt = encoder.join(row["query"], ids)
            target = _target(encoder, found)
        except RowError as error:
            rejected.append(Rejected(ref, error.field, error.reason, orjson.dumps(row)))
            continue
        yield (
            {
                "prompt": prompt.ids,
                "target": target,
                "teacher_score": found.teacher_score,
                "verdict": {"yes": 1, "no": 0, None: -1}[found.verdict],
                "pointwise": found.pointwise,
                "sft": found.sft,
                "query_id": query_id(row),
                "place": str(ref),
            },
            prompt.truncated,
        )


def _target(encoder: PromptEncoder, found: Lesson) -> list[int]:
    if not found.sft or found.verdict is None:
        return []
    target = encoder.encode_target(found.verdict, found.contribution, found.evidence)
    if len(target) > encoder.max_tokens:
        raise RowError(
            "evidence",
            f"expected a target of at most max_tokens = {encoder.max_tokens} tokens, found "
            f"{len(target)}",
        )
    return target


def _fingerprint(
    encoder: PromptEncoder,
    digests: dict[str, str],
    fields: dict[str, str] | None,
    limit: int | None,
) -> str:
    tokenizer = encoder.tokenizer.backend_tokenizer.to_str()
    parts = [
        _FORMAT,
        sha256(tokenizer.encode()).hexdigest(),
        encoder.profile.hash,
        encoder.max_tokens,
        list(digests.values()),
        sorted((fields or {}).items()),
        limit,
    ]
    return sha256(orjson.dumps(parts)).hexdigest()


def _note(path: Path) -> dict[str, Any]:
    try:
        note = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return note if isinstance(note, dict) else {}
