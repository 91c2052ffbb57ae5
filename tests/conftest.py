"""Isolation of tests: a separate home, no network, and quiet libraries."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

for name, value in {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "NO_COLOR": "1",
    "MPLBACKEND": "Agg",
}.items():
    os.environ[name] = value

# Reproducible examples, without a database.
settings.register_profile(
    "prism",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("prism")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, so that no worker waits for another one's slow test at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked embedded checkpoints, shared by all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    cache = shared / "model-cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(scope="session")
def smollm2_tokenizer(model_cache: Path) -> Callable[[], Any]:
    """Return a loader of SmolLM2's tokenizer, read from its GGUF once for all workers."""
    from filelock import FileLock
    from transformers import AutoTokenizer

    from prism_cli.modeling import embedded

    folder = model_cache / "smollm2-tokenizer"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            embedded.smollm2_tokenizer().save_pretrained(unfinished)
            unfinished.rename(folder)
    return lambda: AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_reranker(model_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random model with SmolLM2's tokenizer; read-only for tests."""
    from prism_cli.modeling.embedded import smollm2_path
    from tests.modeling.tiny import tiny_model

    folder = tmp_path_factory.mktemp("tiny-reranker")
    tiny_model("llama", vocabulary=49_152).save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(model_cache))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(smollm2_path() / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def smollm2_server(
    model_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Serve SmolLM2 with `transformers serve`; yield the base URL and the model's folder."""
    from prism_cli.modeling.embedded import smollm2_path
    from tests.servers.transformers_serve import transformers_serve

    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason="transformers serve is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(model_cache))
        folder = smollm2_path()
    with transformers_serve(folder, tmp_path_factory.mktemp("served")) as base_url:
        yield base_url, folder


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the files, keys and settings of the user and of other tests."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith("PRISM_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(model_cache))
    monkeypatch.chdir(tmp_path)
    return home
