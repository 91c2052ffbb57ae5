"""The recipes of `recipes/serve`: nginx and HAProxy before two servers, the unit, the image."""

import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.serving.fake_server import scripted
from tests.serving.test_mcp_command import INITIALIZE, process
from tests.serving.test_server import figure, until

RECIPES = Path(__file__).parent.parent.parent / "recipes" / "serve"
NGINX = """
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/a; uwsgi_temp_path {folder}/b; scgi_temp_path {folder}/c;
    include {folder}/prism.conf;
}}
"""
INTERVALS = {
    "nginx": ("fail_timeout=5s", "fail_timeout=1s"),
    "haproxy": ("inter 2s", "inter 500ms"),
}
"""How soon each asks a server again that was not ready: in its recipe, and here."""
ASKED_AGAIN = 1.5
"""Seconds after which each has asked again."""
SMALL = {"query": "river", "documents": ["a river"]}
HEADERS = {"accept": "application/json, text/event-stream"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def needs(program: str, package: str) -> str:
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        pytest.skip(f"no {program} here: apt install {package}")
    return path


def words_of(balancer: str, folder: Path, ports: dict[int, int]) -> list[str]:
    """Write the recipe, with other ports and shorter intervals; return the command line."""
    program = needs(balancer, balancer)
    name = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[balancer]
    text = (RECIPES / name).read_text()
    for port, used in ports.items():
        assert f"127.0.0.1:{port}" in text
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{used}")
    if ports:
        long, short = INTERVALS[balancer]
        assert long in text
        text = text.replace(long, short)
    if balancer == "haproxy":
        (folder / name).write_text(text)
        return [program, "-db", "-f", str(folder / name)]
    (folder / "prism.conf").write_text(text)
    user = "user root root;" if os.geteuid() == 0 else ""
    (folder / name).write_text(NGINX.format(folder=folder, user=user))
    return [program, "-p", str(folder), "-c", str(folder / name), "-g", "daemon off;"]


@contextmanager
def server(port: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    words = ["-m", "tests.serving.fake_prism", "serve", "--port", str(port), "--quiet"]
    with process(words, **environment) as one:
        until(lambda: httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200)
        yield one


def codes_of(url: str) -> list[int]:
    return [httpx2.post(f"{url}/v1/rerank", json=SMALL).status_code for _ in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("balancer", ["nginx", "haproxy"])
def test_requests_go_to_processes_that_are_ready(balancer: str, tmp_path: Path) -> None:
    ports = {8000: free_port(), 8010: free_port(), 8011: free_port()}
    words = words_of(balancer, tmp_path, ports)
    front, first, second = (f"http://127.0.0.1:{port}" for port in ports.values())
    with ExitStack() as stack:
        other = stack.enter_context(server(ports[8011], FAKE_PASS_SECONDS="0.3"))
        until(lambda: httpx2.get(f"{second}/ready").status_code == 200)
        front_process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        stack.callback(front_process.wait, 30)
        stack.callback(front_process.terminate)
        until(lambda: httpx2.get(f"{front}/ready").status_code == 200)

        # One is not there, then loads: all requests go to the other.
        assert codes_of(front) == [200] * 6
        loaded = tmp_path / "loaded"
        loads = {"FAKE_PASS_SECONDS": "0.3", "FAKE_LOAD_UNTIL": str(loaded)}
        stack.enter_context(server(ports[8010], **loads))
        time.sleep(ASKED_AGAIN)
        assert codes_of(front) == [200] * 6
        assert httpx2.get(f"{first}/ready").status_code == 503
        loaded.touch()
        until(lambda: httpx2.get(f"{first}/ready").status_code == 200)
        time.sleep(ASKED_AGAIN)

        # Both are busy: the refusal and its header pass through.
        large = {"query": "river", "documents": [f"river {n} " + "x" * 900 for n in range(30)]}
        busy = [
            threading.Thread(target=httpx2.post, args=[f"{front}/v1/rerank"], kwargs=keywords)
            for keywords in [{"json": large, "timeout": 60}] * 2
        ]
        for thread in busy:
            thread.start()
        for url in (first, second):
            until(lambda url=url: figure(url, "prism_requests_in_flight") == 1)  # type: ignore[misc]
        refused = httpx2.post(
            f"{front}/v1/rerank", json=SMALL, headers={"x-request-timeout": "0.001"}
        )
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert "retry in" in refused.json()["message"]
        for thread in busy:
            thread.join()

        # Events arrive as they are sent.
        body = SMALL | {"evidence": True, "stream": True}
        with httpx2.stream("POST", f"{front}/v1/rerank", json=body, timeout=60) as reply:
            times = {
                line: time.perf_counter()
                for line in reply.iter_lines() if line.startswith("event: ")
            }  # fmt: skip
        assert times["event: result"] - times["event: scores"] > 1

        too_large = httpx2.post(f"{front}/v1/rerank", content=b" " * (16 * 2**20 + 1), timeout=60)
        assert too_large.status_code == 413
        assert "16 MiB" in too_large.json()["message"]
        assert httpx2.get(f"{front}/metrics").status_code == 404
        mcp = httpx2.post(f"{front}/mcp", json=INITIALIZE, headers=HEADERS)
        assert (mcp.status_code, "read_documents" in mcp.text) == (200, True)

        # One dies: requests go on.
        other.kill()
        other.wait()
        assert codes_of(front) == [200] * 6


@pytest.mark.parametrize("balancer", ["nginx", "haproxy"])
def test_a_recipe_is_valid_as_it_is(balancer: str, tmp_path: Path) -> None:
    words = words_of(balancer, tmp_path, {})
    check = {"nginx": "-t", "haproxy": "-c"}[balancer]
    done = subprocess.run([*words, check], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()


def test_the_unit_is_valid(tmp_path: Path) -> None:
    program = needs("systemd-analyze", "systemd")
    text = (RECIPES / "prism@.service").read_text()
    unit = tmp_path / "prism@0.service"
    unit.write_text(text.replace("/opt/prism/bin/prism", "/bin/true"))
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    (grace,) = re.findall(r"--grace (\d+)", text)
    (stop,) = re.findall(r"TimeoutStopSec=(\d+)", text)
    assert int(stop) > int(grace)


def test_the_image_starts_a_server_of_its_own_user() -> None:
    text = (RECIPES / "Dockerfile").read_text().replace("\\\n", " ")
    steps = [line.partition(" ")[::2] for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    kinds = [kind for kind, _ in steps]
    assert kinds[0] == "FROM"
    assert max(index for index, kind in enumerate(kinds) if kind == "RUN") < kinds.index("USER")
    assert "-c constraints.txt" in text
    check = dict(steps)["HEALTHCHECK"].partition("CMD ")[2]
    program, option, code = shlex.split(check.replace('", "', '" "').strip("[]").strip())
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    entry = shlex.split(dict(steps)["ENTRYPOINT"].strip("[]").replace(",", " "))
    assert entry[:2] == ["prism", "serve"]


def test_replicas_under_ray_answer_as_the_server_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the two functions of Ray that the recipe uses."""
    taken: dict[str, Any] = {}
    stand_in = SimpleNamespace(
        Application=object,
        ingress=lambda build: lambda: build,
        deployment=lambda build, **options: (
            taken.update(options, build=build) or SimpleNamespace(bind=lambda: "app")
        ),
    )
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=stand_in))
    monkeypatch.setenv("PRISM_API_KEYS", "sesame")
    recipe = runpy.run_path(str(RECIPES / "ray_serve.py"))
    settings = {"model": "hf:prism-tiny", "name": "river", "replicas": "2", "gpus": "0.5"}
    settings["top_n"] = "1"
    assert recipe["app"](settings) == "app"
    assert (taken["num_replicas"], taken["ray_actor_options"]) == (2, {"num_gpus": 0.5})
    recipe["app"].__globals__["load_ranker"] = lambda config: scripted(0)
    with TestClient(taken["build"]()) as client:
        assert client.post("/v1/rerank", json=SMALL).status_code == 401
        headers = {"authorization": "Bearer sesame"}
        until(lambda: client.get("/ready").status_code == 200)
        reply = client.post("/v1/rerank", json=SMALL, headers=headers)
        assert (reply.status_code, reply.json()["model"]) == (200, "river")
        assert len(reply.json()["results"]) == 1
