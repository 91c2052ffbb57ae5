"""`prism export --push-to-hub` against a stand-in for the hub, through huggingface_hub's client."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from prism_cli.exporting import run
from tests.door import Done, prism
from tests.exporting.conftest import Exported
from tests.factories import make_pairs, write_jsonl
from tests.servers.hub import DROP, Fault, HubServer

REPO = "acme/tiny"
PUSH = ("--push-to-hub", REPO)
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""huggingface_hub gives httpx a file as `data`."""
PATIENCE = SimpleNamespace(sleep=lambda _seconds: None, time=time.time)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The stand-in, as HF_ENDPOINT, HF_TOKEN and the rest would set it in a new process."""
    with HubServer() as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr("huggingface_hub.utils._http.time", PATIENCE)
        monkeypatch.setenv("HF_TOKEN", server.token)
        yield server


@pytest.fixture
def folder(exported: Callable[[str], Exported], tmp_path: Path) -> Path:
    """An export that may be changed."""
    copy = tmp_path / "copy"
    shutil.copytree(exported("llama")[0], copy)
    return copy


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def pushed(hub: HubServer) -> dict[str, bytes]:
    """The files of the repository that a push made."""
    files = dict(hub.repos[REPO].files)
    assert files.pop(".gitattributes")
    return files


def refused(done: Done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in " ".join(done.stderr.split()), word
    assert "hf_stand_in" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_model_is_exported_pushed_and_loaded_by_its_id(
    hub: HubServer, model: Callable[[str], Path], tmp_path: Path
) -> None:
    """New processes, which know the hub by the environment alone."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf"),
    }  # fmt: skip

    def run_prism(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "prism_cli", *map(str, words)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    done = run_prism("export", model("llama"), "-o", "out", *PUSH, "--json")
    said = json.loads(done.stdout)["hub"]
    repo = hub.repos[REPO]
    assert repo.private
    assert (said["url"], said["commit"]) == (f"{hub.url}/{REPO}", repo.sha)
    assert f"{hub.url}/{REPO} (private): {said['files']} files" in done.stderr
    assert len(repo.commits) == 2, "the hub's own, and one"
    assert pushed(hub) == content(Path("out"))
    sums = pushed(hub)["SHA256SUMS"].decode().splitlines()
    assert len(sums) == said["files"] - 1
    for line in sums:
        digest, _, name = line.partition("  ")
        assert hashlib.sha256(pushed(hub)[name]).hexdigest() == digest

    files = b"".join(pushed(hub).values())
    for local in (str(tmp_path), str(Path.home()), str(model("llama")), os.uname().nodename + "/"):
        assert local.encode() not in files, local
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if hub.token.encode() in path.read_bytes()]
    assert hub.token not in done.stdout + done.stderr

    rows = write_jsonl(tmp_path / "rows.jsonl", make_pairs(3))
    options = ("--device", "cpu", "--max-new-tokens", "4", "-q")
    run_prism("rerank", rows, "--model", REPO, "-o", "by-id.jsonl", *options)
    run_prism("rerank", rows, "--model", "out", "-o", "by-path.jsonl", *options)
    by_id, by_path = (
        [json.loads(line)["score"] for line in Path(name).read_text().splitlines()]
        for name in ("by-id.jsonl", "by-path.jsonl")
    )
    assert by_id == by_path
    assert any(f"/{REPO}/resolve/" in request for request in hub.requests)


def test_an_exported_folder_is_pushed_alone_and_updated_in_one_commit(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "export", None)
    done = prism("export", folder, *PUSH)
    assert done.returncode == 0, done.stderr
    first = pushed(hub)
    assert first == content(folder)
    again = prism("export", folder, *PUSH, "--json")
    assert not json.loads(again.stdout)["hub"]["changed"]
    assert f"{REPO} (private): has this content" in again.stderr
    repo = hub.repos[REPO]
    assert len(repo.commits) == 2

    # Files of an earlier export and other weights go, files of people stay.
    sums = first["SHA256SUMS"] + b"00  old/vocabulary.json\n00  README.md\n00  never/there\n"
    foreign = dict.fromkeys(("old/vocabulary.json", "model-00001-of-00002.safetensors"), b"old")
    kept = {"LICENSE": b"mine", "onnx/model.safetensors": b"mine"}
    repo.commit("by people", foreign | kept | {"SHA256SUMS": sums})
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMy own card.\n")
    before = len(hub.requests)
    assert prism("export", folder, *PUSH).returncode == 0
    assert len(repo.commits) == 4
    assert pushed(hub) == content(folder) | kept
    assert pushed(hub)["README.md"].endswith(b"My own card.\n")
    digest = hashlib.sha256(pushed(hub)["README.md"]).hexdigest()
    assert f"{digest}  README.md\n" in pushed(hub)["SHA256SUMS"].decode()
    assert not [line for line in hub.requests[before:] if line.startswith("PUT")], "LFS is there"

    (folder / "config.json").write_text("{}")
    refused(prism("export", folder, *PUSH), 2, "changed since its export: config.json")


def test_what_is_not_as_wanted_is_refused_before_the_export(
    hub: HubServer,
    model: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("export", model("llama"), "-o", "out")

    def push(*more: str, repo: str = REPO) -> Done:
        return prism(*words, "--push-to-hub", repo, *more)

    for name in ("tiny", "acme/ti ny", "acme/tiny.git", "acme/tiny/2", "hf:acme/tiny", "-x/y"):
        refused(push(repo=name), 2, "--push-to-hub", "expected ORG/NAME")
    refused(prism(*words, "--public"), 2, "--public: goes with --push-to-hub ORG/NAME")
    refused(push(repo="other/tiny"), 3, "alice, who is no member of other", "one of alice, acme")
    hub.role = "read"
    refused(push(), 3, "the token of alice may only read", "hf auth login")
    hub.role = "write"
    with monkeypatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_stand_in_wrong")
        refused(push(), 3, "the hub refused the token", "HF_TOKEN environment variable is invalid")
        patch.delenv("HF_TOKEN")
        refused(push(), 3, f"no token of {hub.url}", "hf auth login")
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        refused(push(), 2, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")
    hub.faults = [Fault("whoami", 503)]
    refused(push(), 5, hub.url, "status 503", "nothing was uploaded")
    assert not hub.repos
    from tests.servers.hub import Repo

    for private, more in ((False, ()), (True, ("--public",))):
        repo = hub.repos[REPO] = Repo(private)
        repo.commit("initial commit", {})
        kind = "private" if private else "public"
        refused(push(*more), 2, f"the repository exists and is {kind}; nothing was uploaded")
    assert not Path("out").exists()
    assert not Path(".out.lock").exists()


def test_public_is_said(hub: HubServer, folder: Path) -> None:
    for _ in range(2):
        done = prism("export", folder, *PUSH, "--public")
        assert done.returncode == 0, done.stderr
        assert f"{REPO} (public)" in done.stderr
    assert not hub.repos[REPO].private


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("preupload", 503), 0),
        (Fault("^PUT", DROP), 0),
        (Fault("^PUT", 500, times=2), 0),
        (Fault("^PUT", DROP, times=99), 5),
        (Fault("objects/batch", 502, times=99), 5),
        (Fault("/commit/", 504), 5),
        (Fault("/commit/", DROP), 5),
        (Fault("/commit/", 412), 5),
        (Fault("repos/create", 403), 3),
        (Fault("/commit/", 400), 3),
    ],
    ids=lambda value: f"{value.pattern} {value.status}" if isinstance(value, Fault) else "",
)
def test_a_failed_upload_is_repeated_by_the_command_that_it_names(
    hub: HubServer, folder: Path, fault: Fault, status: int
) -> None:
    hub.faults = [fault]
    before = content(folder)
    done = prism("export", folder, *PUSH)
    if status == 0:
        assert done.returncode == 0, done.stderr
    else:
        command = f"prism export {folder} --push-to-hub {REPO}"
        told = f"{folder} is complete; this command uploads it again: {command}"
        refused(done, status, hub.url, told)
        hub.faults = []
        assert prism(*shlex.split(command)[1:]).returncode == 0
    assert content(folder) == before == pushed(hub)
    assert len(hub.repos[REPO].commits) == 2


def test_no_token_or_no_hub_at_the_endpoint(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("HF_TOKEN")
        refused(prism("export", folder, *PUSH), 3, f"no token of {hub.url}")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(prism("export", folder, *PUSH), 5, "http://127.0.0.1:9", "nothing was uploaded")


def test_the_same_command_goes_on_with_the_upload(
    hub: HubServer, model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("export", model("llama"), "-o", "out", *PUSH)
    hub.faults = [Fault("/commit/", 500)]
    assert prism(*words).returncode == 5
    monkeypatch.setattr(run, "load_merged", None)
    done = prism(*words)
    assert done.returncode == 0, done.stderr
    assert "out: finished before; nothing to do" in done.stderr
    assert pushed(hub) == content(Path("out"))


def test_a_warning_of_the_export_is_repeated_or_refused(hub: HubServer, folder: Path) -> None:
    done = prism("export", folder, *PUSH, "--strict-model")
    refused(done, 3, "because of --strict-model")
    assert not hub.requests
    assert "warning: the exported model" in prism("export", folder, *PUSH).stderr
