"""The fault server's log of calls, to detect repeated requests.

The log is in memory, and in a JSONL file if one is named: one line per request read, flushed before
the reply is sent, and one line when the reply is sent or has failed. A key
is never in it, only the first digits of its header's SHA-256.
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
        path: as requested, with any prefix of the API's own.
        model: "" if the request names none.
        messages: 16 hex digits of SHA-256 of the request's text (messages, query and documents, …).
        request: the same over the whole body, including parameters such as the temperature.
        auth: 12 hex digits of SHA-256 of the Authorization (or x-api-key) header; "" without one.
        at: time of arrival, seconds since 1970.
        concurrent: requests in progress at that moment, including this one.
        tag: match of the server's `tag` pattern in the text, such as a row's number.
        fault: the applied fault; "" for a good reply.
        status: status of the reply, even if it could not be sent; 0 until then.
        input_tokens, output_tokens: billed tokens; 0 for errors.
        sent: the complete reply was written to a connection that the client had not closed.
        text: in memory only, and only if the server keeps texts.
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
    """Return the first hex digits of SHA-256."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return sha256(raw).hexdigest()[:digits]


def auth_digest(header: str) -> str:
    """Return the digest of an Authorization header, such as `Bearer KEY`, for the log."""
    return digest(header, 12) if header else ""


class CallLog:
    """Calls of one server, oldest first."""

    def __init__(self, path: Path | None, keep_texts: bool) -> None:
        self.calls: list[Call] = []
        self._keep_texts = keep_texts
        self._file: FileIO | None = None
        self._before = 0
        if path:
            self._before = len(read_log(path)) if path.exists() else 0
            self._file = path.open("ab", buffering=0)

    def asked(self, call: Call) -> None:
        """Number and add a call, before its reply is sent."""
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
        """Record the result of the reply."""
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
    """Return the calls of a log file. A call whose end is not written yet has `sent` false."""
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
