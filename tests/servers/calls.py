"""The fault server's log of calls: the judge of what was asked twice.

In memory, and as JSONL where a file is named: one line when a request has been read, flushed before
any byte of the reply leaves, and one line when the reply is out or has failed to get out. A key
never stands in it, only the first digits of its header's SHA-256.
"""

import json
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import FileIO
from pathlib import Path


@dataclass(slots=True)
class Call:
    """One request, or one line of a batch file, in order of arrival.

    Attributes:
        number: place in the log, from 1; goes on where the log file ends.
        kind: chat, decisions, systemone, rerank, search, contents, models, files, batches,
            batch_line, or unknown.
        path: as asked, with whatever prefix stood before the API's own.
        model: "" where the request names none.
        messages: 16 hex digits of SHA-256 of the request's text (messages, query and documents, …).
        request: the same over the whole body: it differs where, say, only the temperature does.
        auth: 12 hex digits of SHA-256 of the Authorization (or x-api-key) header; "" without one.
        at: time of arrival, seconds since 1970.
        concurrent: requests between read and answered at that moment, this one included.
        tag: what the server's `tag` pattern found in the text, such as a row's number.
        fault: the fault that it met; "" for a good reply.
        status: of the reply, whether or not it got out; 0 until then.
        input_tokens, output_tokens: what the server would bill; 0 for errors.
        sent: the whole reply was handed to a connection that its reader had not closed.
        text: in memory only, and only where the server keeps texts.
    """

    kind: str
    path: str
    model: str
    messages: str
    request: str
    auth: str
    number: int = 0
    at: float = 0.0
    concurrent: int = 0
    tag: str = ""
    fault: str = ""
    status: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    sent: bool = False
    text: str = ""


_AFTERWARDS = ("status", "input_tokens", "output_tokens", "sent")


def digest(data: str | bytes, digits: int = 16) -> str:
    """The first hex digits of SHA-256."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return sha256(raw).hexdigest()[:digits]


def auth_digest(header: str) -> str:
    """What the log keeps of an Authorization header, for instance of `Bearer KEY`."""
    return digest(header, 12) if header else ""


class CallLog:
    """The calls of one server, oldest first."""

    def __init__(self, path: Path | None, keep_texts: bool) -> None:
        self.calls: list[Call] = []
        self._keep_texts = keep_texts
        self._file: FileIO | None = None
        self._before = 0
        if path:
            self._before = len(read_log(path)) if path.exists() else 0
            self._file = path.open("ab", buffering=0)

    def asked(self, call: Call) -> None:
        """Number and add a call, before its reply leaves."""
        call.number = self._before + len(self.calls) + 1
        call.at = time.time()
        text, call.text = call.text, ""
        if self._file:
            fields = asdict(call)
            for name in ("text", *_AFTERWARDS):
                del fields[name]
            self._write({"event": "asked", **fields})
        if self._keep_texts:
            call.text = text
        self.calls.append(call)

    def ended(self, call: Call) -> None:
        """Note what became of the reply."""
        if self._file:
            became = {name: getattr(call, name) for name in _AFTERWARDS}
            self._write({"event": "ended", "number": call.number, **became})

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _write(self, fields: dict[str, object]) -> None:
        assert self._file
        self._file.write(json.dumps(fields, ensure_ascii=False).encode() + b"\n")


def read_log(path: Path) -> list[Call]:
    """The calls of a log file. A call whose end was not written yet has `sent` false."""
    calls: dict[int, Call] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break  # being written
        fields = json.loads(line)
        if fields.pop("event") == "asked":
            calls[fields["number"]] = Call(**fields)
        else:
            call = calls[fields["number"]]
            for name in _AFTERWARDS:
                setattr(call, name, fields[name])
    return list(calls.values())
