"""The fault server's log, limits, concurrency, and script."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.servers.asking import KEY, ask, question, said
from tests.servers.calls import auth_digest, read_log
from tests.servers.fault_server import FaultServer
from tests.servers.faults import Fault
from tests.servers.script import Settings, launched

SCRIPT = """
tag = "Item [0-9]+"
models = ["m"]

[[reply]]
contains = "Item 3 "
text = "perhaps"
score = 0.9

[[fault]]
name = "no_answer"
contains = "Item 5 "
"""


def raises_timeout(client: httpx2.Client, base: str) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        client.post(f"{base}/v1/chat/completions", json=question("Item 5 is"), timeout=1)


def test_requests_per_minute_are_enforced(client: httpx2.Client) -> None:
    with FaultServer(settings=Settings(requests_per_window=3, window=0.4)) as server:
        codes = [ask(client, server) for _ in range(5)]
        other = ask(client, server, model="other")
        time.sleep(0.45)
        later = ask(client, server)
    assert [reply.status_code for reply in codes] == [200] * 3 + [429] * 2
    assert codes[-1].headers["retry-after"] == "1"
    assert (other.status_code, later.status_code) == (200, 200)


def test_concurrency_and_delay_are_seen() -> None:
    with FaultServer([Fault("delay", seconds=0.2)]) as server, httpx2.Client() as shared:
        began = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda n: ask(shared, server, text=str(n)), range(6)))
        took = time.monotonic() - began
    assert server.max_concurrent == 6
    assert took >= 0.2


def test_a_client_that_disconnects_during_the_delay_is_logged_as_unanswered(
    client: httpx2.Client,
) -> None:
    with FaultServer(settings=Settings(delay=0.3)) as server:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(f"{server.base_url}/v1/chat/completions", json=question(), timeout=0.1)
        time.sleep(0.4)
        assert [call.sent for call in server.calls] == [False]


def test_a_killed_client_is_logged_as_unanswered(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    code = (
        "import sys, httpx2\n"
        "httpx2.post(sys.argv[1] + '/v1/chat/completions', json={'model': 'm', 'messages': []})"
    )
    with launched(log, "delay = 0.5") as base:
        killed = subprocess.Popen([sys.executable, "-c", code, base])
        while not read_log(log):
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        time.sleep(0.7)
        (call,) = read_log(log)
    assert not call.sent


def test_the_script_logs_before_it_replies_and_never_the_key(
    client: httpx2.Client, tmp_path: Path
) -> None:
    log = tmp_path / "calls.jsonl"
    with launched(log, SCRIPT) as base:
        assert said(ask(client, base, text="Item 3 is")) == "perhaps"
        slow = threading.Thread(target=lambda: raises_timeout(client, base))
        slow.start()
        while len(read_log(log)) < 2:
            time.sleep(0.01)
        before = read_log(log)
        slow.join()
    with launched(log, SCRIPT) as base:
        ask(client, base, text="Item 6 is")
        while not read_log(log)[-1].sent:  # the reply arrives before the server notes its end
            time.sleep(0.01)
    after = read_log(log)
    assert [(call.tag, call.sent) for call in before] == [("Item 3", True), ("Item 5", False)]
    assert [(call.number, call.tag) for call in after] == [
        (1, "Item 3"),
        (2, "Item 5"),
        (3, "Item 6"),
    ]
    assert [call.sent for call in after] == [True, False, True]
    assert after[0].auth == auth_digest(f"Bearer {KEY}")
    assert KEY not in log.read_text()
    assert "Item 3 is" not in log.read_text()


def test_an_unknown_key_in_a_script_is_refused(tmp_path: Path) -> None:
    from tests.servers.script import read_script

    path = tmp_path / "s.toml"
    path.write_text("[[fault]]\nname = '429'\ncals = [1]\n")
    with pytest.raises(TypeError, match="cals"):
        read_script(path)
