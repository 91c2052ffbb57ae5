"""OpenAI's files and batches: lines are answered after some polls, shuffled."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tests.servers.replies import BadRequestError, Body, need
from tests.servers.wire import Reply

AnswerLine = Callable[[Body], Reply]
"""The reply to one line's `body`; raises BadRequestError for one that the API would refuse."""


OPEN = ("validating", "in_progress")


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Behaviour of batches.

    Attributes:
        polls: GETs of a batch until it ends; the first returns validating, others in_progress.
        error_contains, error_every: lines whose JSON contains this, and each k-th, end with a 400.
        expires_after: lines answered until the batch expires; -1: it completes.
        late: GETs of an ended batch until its files are named.
        at_a_time: batches that may be open; others end at once.
        keeps_metadata: False for a server that drops the metadata of a batch.
        sent: content of a download, from its number (from 1) and the file's content.
    """

    polls: int = 2
    error_contains: str = ""
    error_every: int = 0
    expires_after: int = -1
    late: int = 0
    at_a_time: int = 1000
    keeps_metadata: bool = True
    sent: Callable[[int, bytes], bytes] = lambda number, content: content


def uploaded(content_type: str, body: bytes) -> tuple[str, str, bytes]:
    """Return purpose, file name and content of a multipart upload."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not boundary:
        raise BadRequestError("expected multipart/form-data")
    purpose, name, content = "", "", b""
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        value = value.removesuffix(b"\r\n")
        if b'name="purpose"' in head:
            purpose = value.decode()
        elif b'name="file"' in head:
            match = re.search(rb'filename="([^"]*)"', head)
            name, content = match[1].decode() if match else "", value
    if not purpose or not name:
        raise BadRequestError("expected the fields purpose and file")
    return purpose, name, content


class Batches:
    """Files and batches of one server."""

    def __init__(self, plan: BatchPlan, seed: int, answer: AnswerLine) -> None:
        self._plan = plan
        self._dice = random.Random(seed)
        self._answer = answer
        self._files: dict[str, tuple[Body, bytes]] = {}
        self._batches: dict[str, Body] = {}
        self._polls: dict[str, int] = {}
        self._downloads = 0
        self._ended: dict[str, tuple[list[Body], list[Body], bool]] = {}

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        """Return the reply to a request below /files or /batches; None for other paths."""
        path, _, query = path.partition("?")
        match = re.search(r"/(files|batches)(?:/([\w-]+))?(?:/(content|cancel))?$", path)
        if not match:
            return None
        kind, name, verb = match[1], match[2] or "", match[3] or ""
        store: dict[str, Any] = self._files if kind == "files" else self._batches
        if name and name not in store:
            raise BadRequestError(f"No such {kind}: '{name}'.", 404)
        if kind == "files":
            if method == "POST":
                return self._upload(*uploaded(headers.get("content-type", ""), body))
            if verb == "content":
                content_type = {"Content-Type": "application/octet-stream"}
                self._downloads += 1
                content = self._plan.sent(self._downloads, self._files[name][1])
                return Reply(content, headers=content_type)
            if name:
                return Reply(self._files[name][0])
            return Reply({"object": "list", "data": [about for about, _ in self._files.values()]})
        if verb == "cancel":
            self._batches[name]["status"] = "cancelled"
        elif method == "POST":
            return Reply(self._create(json.loads(body)))
        elif name:
            self._poll(name)
        else:
            return Reply(self._page(query))
        return Reply(self._batches[name])

    def _page(self, query: str) -> Body:
        """Return a page of the list, newest first."""
        query_options = dict(parse_qsl(query))
        names = list(reversed(self._batches))
        start = names.index(query_options["after"]) + 1 if "after" in query_options else 0
        end = start + int(query_options.get("limit", 20))
        data = [self._batches[name] for name in names[start:end]]
        return {"object": "list", "data": data, "has_more": end < len(names)}

    def _upload(self, purpose: str, name: str, content: bytes) -> Reply:
        about: Body = {
            "id": f"file-{len(self._files) + 1}",
            "object": "file",
            "bytes": len(content),
            "created_at": 1_700_000_000,
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self._files[about["id"]] = about, content
        return Reply(about)

    def _create(self, order: Body) -> Body:
        need(order, "input_file_id", "endpoint", "completion_window")
        if order["input_file_id"] not in self._files:
            raise BadRequestError(f"No such file: '{order['input_file_id']}'.")
        batch: Body = {
            "id": f"batch_{len(self._batches) + 1}",
            "object": "batch",
            "endpoint": order["endpoint"],
            "errors": None,
            "input_file_id": order["input_file_id"],
            "completion_window": order["completion_window"],
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": 1_700_000_000,
            "metadata": order.get("metadata") if self._plan.keeps_metadata else None,
        }
        name = batch["id"]
        open_ones = [each for each in self._batches.values() if each["status"] in OPEN]
        self._batches[name], self._polls[name] = batch, 0
        try:
            if len(open_ones) >= self._plan.at_a_time:
                raise ValueError("Enqueued token limit reached. Please try again later.")
            lines = [json.loads(raw) for raw in self._files[order["input_file_id"]][1].splitlines()]
            if len({line["custom_id"] for line in lines}) < len(lines):
                raise ValueError("custom_id repeats")
            if wrong := {line["url"] for line in lines} - {order["endpoint"]}:
                raise ValueError(f"url {min(wrong)} is not the batch's endpoint")
        except (ValueError, KeyError) as error:
            batch["status"] = "failed"
            problem = {"code": "invalid_input", "message": str(error), "line": None, "param": None}
            batch["errors"] = {"object": "list", "data": [problem]}
            return batch
        batch["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
        self._ended[name] = self._work(lines)
        return batch

    def _work(self, lines: list[Body]) -> tuple[list[Body], list[Body], bool]:
        """Return the lines of the output and error files, and whether the batch expires."""
        order = list(range(len(lines)))
        self._dice.shuffle(order)
        plan = self._plan
        good: list[Body] = []
        bad: list[Body] = []
        until = plan.expires_after if plan.expires_after >= 0 else len(order)
        for done, place in enumerate(order):
            line = lines[place]
            line_reply: Body = {"id": f"batch_req_{place}", "custom_id": line["custom_id"]}
            if done >= until:
                message = "This request could not be executed before the completion window expired."
                line_reply |= {"response": None}
                bad.append(line_reply | {"error": {"code": "batch_expired", "message": message}})
                continue
            try:
                named = plan.error_contains and plan.error_contains in json.dumps(line)
                if named or (plan.error_every and (place + 1) % plan.error_every == 0):
                    raise BadRequestError("This line was refused.")
                status, payload, into = 200, self._answer(line["body"]).payload, good
            except BadRequestError as error:
                payload = {"error": {"message": str(error), "type": "invalid_request_error"}}
                status, into = error.status, bad
            answered = {"status_code": status, "request_id": f"req_{place}", "body": payload}
            into.append(line_reply | {"response": answered, "error": None})
        return good, bad, until < len(order)

    def _poll(self, name: str) -> None:
        batch = self._batches[name]
        self._polls[name] += 1
        if self._polls[name] == self._plan.polls + self._plan.late:
            self._name_files(name)
        if batch["status"] not in OPEN:
            return
        if self._polls[name] < self._plan.polls:
            batch["status"] = "validating" if self._polls[name] == 1 else "in_progress"
            return
        good, bad, expired = self._ended[name]
        batch["status"] = "expired" if expired else "completed"
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}

    def _name_files(self, name: str) -> None:
        good, bad, _ = self._ended.get(name, ([], [], False))
        for kind, lines in (("output", good), ("error", bad)):
            if lines:
                content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
                upload = self._upload("batch_output", f"{name}_{kind}.jsonl", content)
                self._batches[name][f"{kind}_file_id"] = upload.payload["id"]
