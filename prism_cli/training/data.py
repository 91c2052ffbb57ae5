"""Tokenized rows in a memory-mapped Arrow file.

The file is committed atomically, beside a JSON file with its cache key; a resumed run with the same
rows and tokenizer reuses it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
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

from prism_cli.domain.contradictions import pair_key
from prism_cli.domain.mixture import Pools
from prism_cli.domain.objectives import TrainingLabels, training_labels
from prism_cli.errors import MissingDataError, RowError, StorageError
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.rows.row import Dropped, Rejected, Row, RowRef, check_pair, document_text, query_id
from prism_cli.shards.file_creation import new_attempt
from prism_cli.shards.reader import Shard, read_shards
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.writer import PartFile, flush_file, part_path, sweep_folder, whole_file

_CHUNK_ROWS = 512
_CHUNK_CHARACTERS = 4_000_000
_FORMAT = 3
SHARED_FOLDER_SECONDS = 60.0
"""Longest time that a network file system may take to show a new file to other nodes."""
COLUMNS = datasets.Features(
    {
        "prompt": datasets.List(datasets.Value("int32")),
        "target": datasets.List(datasets.Value("int32")),
        "teacher_score": datasets.Value("float32"),
        "verdict": datasets.Value("int8"),
        "pointwise": datasets.Value("bool"),
        "sft": datasets.Value("bool"),
        "query_id": datasets.Value("string"),
        "place": datasets.Value("string"),
        "pair": datasets.Value("int64"),  # equal for equal pairs
    }
)


@dataclass(frozen=True)
class TokenizedRows:
    """The usable rows of a run, on disk.

    Attributes:
        counts: rows, pointwise, sft, both, truncated, dropped (by reason), rejected; if there are
            any, unfit_texts (by reason): rows that train on their score alone.
    """

    table: datasets.Dataset
    counts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def pools(self) -> Pools:
        """Row indices by objective."""
        return Pools(np.flatnonzero(self.column("sft")), np.flatnonzero(self.column("pointwise")))

    def column(self, name: str) -> NDArray[Any]:
        """Return a scalar column of all rows."""
        values: NDArray[Any] = self.table.data.column(name).to_numpy()
        return values

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Return the number of tokens of `prompt` or `target`, int64 [rows]."""
        chunks = self.table.data.column(name).chunks
        lengths = [chunk.value_lengths().to_numpy() for chunk in chunks]
        return np.concatenate(lengths).astype(np.int64)

    def draws(self, rows: Sequence[int], from_sft: Sequence[bool]) -> list[TokenizedRow]:
        """Return the drawn rows; those not from the sft pool have only the pointwise objective."""
        columns = self.table[[int(row) for row in rows]]
        return [
            TokenizedRow(
                prompt=columns["prompt"][i],
                target=columns["target"][i] if with_target and columns["sft"][i] else [],
                teacher_score=columns["teacher_score"][i] if columns["pointwise"][i] else 0.0,
                pointwise=bool(columns["pointwise"][i]),
                place=columns["place"][i],
            )
            for i, with_target in enumerate(from_sft)
        ]


def tokenize(
    shards: Sequence[Shard],
    encoder: PromptEncoder,
    folder: Path,
    *,
    digests: Sequence[str],
    fields: dict[str, str] | None = None,
    limit: int | None = None,
    name: str = "train",
    between: Callable[[], None] = lambda: None,
    writes: bool = True,
) -> TokenizedRows:
    """The rows of `shards` as `folder`/NAME.arrow; bad ones in `folder`/../NAME.rejects.jsonl.

    Args:
        digests: SHA-256 of each shard's bytes, as hex.
        between: called every few hundred rows; may raise to stop.
        writes: False to read the files that another process wrote.

    Raises:
        MissingDataError: no usable row; says where the rows went.
        StorageError: the folder cannot be written, or lacks what another process wrote.
    """
    key = _fingerprint(encoder, digests, fields, limit)
    table_path, note_path = folder / f"{name}.arrow", folder / f"{name}.json"
    rejects_path = folder.parent / f"{name}.rejects.jsonl"
    note, deadline = _note(note_path), time.monotonic() + SHARED_FOLDER_SECONDS
    while not writes and (note.get("key") != key or _size(table_path) != note.get("bytes")):
        if time.monotonic() > deadline:
            raise StorageError(
                f"{table_path}: is not what the first process wrote; nothing was trained. Expected "
                "-o to name a directory that all nodes share"
            )
        time.sleep(0.2)
        note = _note(note_path)
    if note.get("key") != key or _size(table_path) != note.get("bytes"):
        part = part_path(table_path, new_attempt())
        with storage_errors(table_path, "nothing was trained yet"):
            folder.mkdir(parents=True, exist_ok=True)
            sweep_folder(folder)
            note_path.unlink(missing_ok=True)
            reading = _Reading(shards, fields, limit, encoder, between)
            counts = reading.write(part, rejects_path)
            flush_file(part)
            part.replace(table_path)
            note = {"key": key, "bytes": _size(table_path), "counts": counts}
            with whole_file(note_path) as file:
                file.write(orjson.dumps(note, option=orjson.OPT_INDENT_2))
    counts = note["counts"]
    if not counts["rows"]:
        dropped = [f"{count:,} dropped ({why})" for why, count in counts["dropped"].items()]
        raise MissingDataError(
            f"{', '.join(shard.name for shard in shards)}: no row that can be trained on: "
            f"{counts['rejected']:,} rejected{_first_rejected(rejects_path)}, "
            f"{', '.join(dropped) or 'none dropped'}. Rows need a verdict (`prism relabel --judge "
            "source` writes it from source_label, other judges without) or a teacher_score (`prism "
            "distill --teacher source` from source_label, `--teacher st:minilm` without)"
        )
    return TokenizedRows(datasets.Dataset.from_file(str(table_path)), counts)


class _Reading:
    """One pass over the rows: writes records and rejected rows, and counts both."""

    def __init__(
        self,
        shards: Sequence[Shard],
        fields: dict[str, str] | None,
        limit: int | None,
        encoder: PromptEncoder,
        between: Callable[[], None],
    ) -> None:
        self._encoder = encoder
        self._between = between
        self._order = {shard.name: number for number, shard in enumerate(shards)}
        self._rejected: list[Rejected] = []  # of the current chunk
        self._dropped: Counter[str] = Counter()
        self._text_faults: Counter[str] = Counter()
        self._rows = islice(
            read_shards(shards, fields=fields, check=check_pair, on_reject=self._rejected.append),
            limit,
        )

    def write(self, table: Path, rejects: Path) -> dict[str, Any]:
        """Write the files; return the counts."""
        counts = Counter(rows=0, pointwise=0, sft=0, both=0, truncated=0, rejected=0)
        rejects.unlink(missing_ok=True)
        with (
            ArrowWriter(features=COLUMNS, path=str(table), writer_batch_size=_CHUNK_ROWS) as writer,
            ExitStack() as opened,
        ):
            rejects_file: PartFile | None = None
            for chunk in self._chunks():
                self._between()
                for record, truncated in self._records(chunk):
                    writer.write(record)
                    counts["rows"] += 1
                    counts["pointwise"] += record["pointwise"]
                    counts["sft"] += record["sft"]
                    counts["both"] += record["pointwise"] and record["sft"]
                    counts["truncated"] += truncated
                if self._rejected and rejects_file is None:
                    rejects_file = opened.enter_context(whole_file(rejects))
                for rejected in sorted(self._rejected, key=self._place):
                    assert rejects_file is not None
                    rejects_file.write(rejected.line)
                counts["rejected"] += len(self._rejected)
                self._rejected.clear()
            writer.finalize()
        faults = {"unfit_texts": dict(self._text_faults)} if self._text_faults else {}
        return {**counts, "dropped": dict(self._dropped), **faults}

    def _chunks(self) -> Iterator[list[tuple[RowRef, Row]]]:
        """Yield rows in chunks of bounded row count and text length; the last may be empty."""
        chunk: list[tuple[RowRef, Row]] = []
        size = 0
        for ref, row in self._rows:
            chunk.append((ref, row))
            size += len(row["document"])
            if len(chunk) == _CHUNK_ROWS or size >= _CHUNK_CHARACTERS:
                yield chunk
                chunk, size = [], 0
        yield chunk

    def _records(
        self, chunk: Sequence[tuple[RowRef, Row]]
    ) -> Iterator[tuple[dict[str, Any], bool]]:
        useful: list[tuple[RowRef, Row, TrainingLabels]] = []
        for ref, row in chunk:
            try:
                labels = training_labels(row)
            except RowError as error:
                self._reject(ref, row, error)
                continue
            if isinstance(labels, Dropped):
                self._dropped[labels.reason] += 1
            else:
                if labels.text_fault:
                    self._text_faults[labels.text_fault] += 1
                useful.append((ref, row, labels))
        prompts = self._encoder.encode_each(
            [(row["query"], document_text(row)) for _, row, _ in useful]
        )
        for (ref, row, labels), prompt in zip(useful, prompts, strict=True):
            try:
                if isinstance(prompt, RowError):
                    raise prompt
                target = _target(self._encoder, labels)
            except RowError as error:
                self._reject(ref, row, error)
                continue
            record = {
                "prompt": prompt.ids,
                "target": target,
                "teacher_score": labels.teacher_score,
                "verdict": {"yes": 1, "no": 0, None: -1}[labels.verdict],
                "pointwise": labels.pointwise,
                "sft": labels.sft,
                "query_id": query_id(row),
                "place": str(ref),
                "pair": int.from_bytes(pair_key(row)[:8], signed=True),
            }
            yield record, prompt.truncated

    def _reject(self, ref: RowRef, row: Row, error: RowError) -> None:
        self._rejected.append(Rejected(ref, error.field, error.reason, orjson.dumps(row)))

    def _place(self, rejected: Rejected) -> tuple[int, int]:
        ref = rejected.ref
        return self._order.get(ref.file, len(self._order)), ref.line


def _target(encoder: PromptEncoder, labels: TrainingLabels) -> list[int]:
    if not labels.sft or labels.verdict is None:
        return []
    target = encoder.encode_target(labels.verdict, labels.contribution, labels.evidence)
    if len(target) > encoder.max_tokens:
        raise RowError(
            "evidence",
            f"expected a target of at most max_tokens = {encoder.max_tokens} tokens, found "
            f"{len(target)}",
        )
    return target


def _fingerprint(
    encoder: PromptEncoder,
    digests: Sequence[str],
    fields: dict[str, str] | None,
    limit: int | None,
) -> str:
    parts = [
        _FORMAT,
        encoder.fingerprint,
        list(digests),
        sorted((fields or {}).items()),
        limit,
    ]
    return sha256(orjson.dumps(parts)).hexdigest()


def _first_rejected(path: Path) -> str:
    """Return place and reason of the first rejected row; a dry run removes the file itself."""
    try:
        with path.open("rb") as file:
            row = orjson.loads(file.readline())
    except FileNotFoundError:
        return ""
    return f" (the first: {row['file']}:{row['line']}: {row['field']}: {row['reason']})"


def _note(path: Path) -> dict[str, Any]:
    try:
        note = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return note if isinstance(note, dict) else {}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
