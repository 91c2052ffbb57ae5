"""Read-only access to a ledger: totals, and its replies one by one.

Replies are read in pages, each in a transaction of its own, so that a run that uses the ledger can
checkpoint its journal in between.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from zlib import crc32

import orjson

from prism_cli.errors import MissingDataError, RowError
from prism_cli.rows.decode import decode_row
from prism_cli.rows.row import Row, json_type, number_field, string_field
from prism_cli.shards.durable import REPAIR_HINT, is_damage

_MAGIC = b"SQLite format 3\0"
_BUSY_SECONDS = 60.0
_PAGE_ROWS = 1000
_KEY_BYTES = 32
_MAX_COUNT = float(2**53)


class Entry(NamedTuple):
    """One stored reply; the names are those of the columns.

    Attributes:
        key: 32 bytes.
        value: a JSON object as bytes.
        created_ms: milliseconds since the epoch, for display.
        sequence: order of the commits of a ledger, independent of the clock.
    """

    key: bytes
    value: bytes
    refusal: str | None
    stage: str
    backend: str
    input_tokens: int
    output_tokens: int
    usd: float
    created_ms: int
    sequence: int

    @property
    def line(self) -> bytes:
        """Return the line of an export."""
        content = self._asdict() | {"key": self.key.hex(), "value": orjson.Fragment(self.value)}
        return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def checked_entry(entry: Entry) -> Entry:
    """Return the entry of another ledger with checked columns.

    Raises:
        RowError: the first column with an unexpected value.
    """
    for name in ("key", "value"):
        if not isinstance(getattr(entry, name), bytes):
            raise RowError(name, "expected bytes")
    return read_entry(decode_row(entry.line))


def read_entry(row: Row) -> Entry:
    """Return the entry in a line of an export.

    Raises:
        RowError: the first field that differs from what `Entry.line` writes.
    """
    text = string_field(row, "key")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise RowError("key", f"expected {2 * _KEY_BYTES} hex digits, found {text[:80]!r}")
    if not isinstance(row.get("value"), dict):
        raise RowError("value", f"expected an object, found {json_type(row.get('value'))}")
    refusal = row.get("refusal")
    if refusal is not None:
        string_field(row, "refusal", blank=False)
    return Entry(
        key,
        orjson.dumps(row["value"]),
        refusal,
        string_field(row, "stage", blank=False),
        string_field(row, "backend", blank=False),
        _count(row, "input_tokens"),
        _count(row, "output_tokens"),
        _number(row, "usd"),
        _count(row, "created_ms"),
        _count(row, "sequence" if "sequence" in row else "created_ms"),
    )


def checksum(key: bytes, value: bytes, refusal: str | None) -> int:
    """Return the CRC-32 of a reply, by which changed bits on the disk are detected."""
    return crc32((refusal or "").encode(), crc32(value, crc32(key)))


def is_ledger_file(path: Path) -> bool:
    """Return whether `path` is a SQLite file."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


class LedgerFile:
    """An existing ledger, opened read-only.

    Every method raises MissingDataError if the file is not a ledger.

    Args:
        path: a SQLite file, also of an earlier version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def models(self) -> list[dict[str, Any]]:
        """Return replies, refusals, tokens and US dollars by stage and model."""
        return self._objects(
            "SELECT stage, backend AS model, count(*) AS replies, count(refusal) AS refusals, "
            "sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens, "
            "sum(usd) AS usd FROM replies GROUP BY stage, backend ORDER BY stage, backend"
        )

    def spent(self, output: str | None = None) -> list[dict[str, Any]]:
        """Return the usage of each output, or of one, by name of column."""
        if output is None:
            return self._objects("SELECT * FROM spent ORDER BY output")
        return self._objects("SELECT * FROM spent WHERE output = ?", output)

    def entries(
        self, *, stage: str | None = None, model: str | None = None, since_ms: int = 0
    ) -> Iterator[Entry]:
        """Yield the replies in the order of their keys, in constant memory.

        Args:
            stage, model: only replies of these.
            since_ms: only replies from this time on, in milliseconds since the epoch.
        """
        values = {"after": b"", "since_ms": since_ms, "stage": stage, "model": model}
        with self._opened() as db:
            query = (
                f"SELECT {', '.join(_columns(db))} FROM replies "
                "WHERE key > :after AND created_ms >= :since_ms "
                "AND (:stage IS NULL OR stage = :stage) AND (:model IS NULL OR backend = :model) "
                f"ORDER BY key LIMIT {_PAGE_ROWS}"
            )
            while page := db.execute(query, values).fetchall():
                yield from map(Entry._make, page)
                values["after"] = page[-1][0]

    def has_replies(self) -> bool:
        """Return whether there is a reply; False for a ledger whose tables are not created yet."""
        tables = self._objects("SELECT 1 FROM sqlite_master WHERE name = 'replies'")
        return bool(tables and self._objects("SELECT 1 FROM replies LIMIT 1"))

    def damage(self) -> str:
        """Return why the file is not a ledger; "" for a ledger, also without tables yet."""
        try:
            with self._opened() as db:
                foreign = _names(db) and not _is_ledger(db)
        except MissingDataError as error:
            if is_damage(error.__cause__):
                return "sqlite cannot read it"
            raise
        return "its table of replies is not that of a ledger" if foreign else ""

    def sent(self) -> set[str]:
        """Return the batches that the store of batches must have."""
        tables = self._objects("SELECT 1 FROM sqlite_master WHERE name = 'sent'")
        return (
            {row["intent"] for row in self._objects("SELECT intent FROM sent")} if tables else set()
        )

    def is_whole(self) -> bool:
        """Return whether SQLite finds no damage and no reply has changed since its commit."""
        try:
            with self._opened() as db:
                intact = db.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
                if not intact or not _is_ledger(db):
                    return False
                if "checksum" not in _names(db):
                    return True
                rows = db.execute("SELECT checksum, key, value, refusal FROM replies")
                return all(stored == checksum(*reply) for stored, *reply in rows)
        except MissingDataError:
            return False

    def _objects(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with self._opened() as db:
            cursor = db.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connected()) as db:
                yield db
        except (sqlite3.Error, OSError) as error:
            hint = f"; {REPAIR_HINT.format(self.path)}" if is_damage(error) else ""
            raise MissingDataError(
                f"{self.path}: cannot be read as a ledger: {error}{hint}"
            ) from error

    def _connected(self) -> sqlite3.Connection:
        """Open the file; in a read-only folder as immutable, which SQLite needs there."""
        uri = f"file:{quote(str(self.path.resolve()))}?mode=ro"
        db = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)
        try:
            db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            db.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN:
                raise
            db = sqlite3.connect(f"{uri}&immutable=1", uri=True)
        return db


def _columns(db: sqlite3.Connection) -> list[str]:
    """Return the columns of an entry; earlier versions ordered replies by time."""
    names = _names(db)
    return [name if name != "sequence" or name in names else "created_ms" for name in Entry._fields]


def _names(db: sqlite3.Connection) -> set[str]:
    return {row[1] for row in db.execute("PRAGMA table_info(replies)")}


def _is_ledger(db: sqlite3.Connection) -> bool:
    return _names(db) >= {*Entry._fields} - {"sequence"}


def _number(row: Row, name: str) -> float:
    value = number_field(row, name, 0, _MAX_COUNT)
    if value is None:
        raise RowError(name, "expected a number, found none")
    return value


def _count(row: Row, name: str) -> int:
    value = _number(row, name)
    if not value.is_integer():
        raise RowError(name, f"expected a whole number, found {value:g}")
    return int(value)
