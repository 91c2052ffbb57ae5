"""`transformers serve` with a model folder on a free port: a real server of chat and decisions.

It answers POST /v1/chat/completions and POST /v1/systemone for the one model that it is given; the
request's `model` must be the folder's path. It omits `logprobs` silently.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


@contextmanager
def transformers_serve(model: Path, scratch: Path, *, patience: float = 120.0) -> Iterator[str]:
    """Serve `model` on the CPU during the block; yield the base_url, without a path.

    `scratch` gets the server's log and an empty model hub.

    Raises:
        RuntimeError: the server ended or is not healthy after `patience` seconds.
    """
    hub = scratch / "hub"
    hub.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base_url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    log = scratch / "serve.log"
    with log.open("wb") as log_file:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub)}
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file
        )
        try:
            _wait_till_healthy(base_url, process, log, patience)
            yield base_url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_till_healthy(
    base_url: str, process: subprocess.Popen[bytes], log: Path, patience: float
) -> None:
    until = time.monotonic() + patience
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"{base_url}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    last = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"transformers serve did not become healthy; its last words:\n{last}")
