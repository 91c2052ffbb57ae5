"""Isolation of tests: a separate home, no network, and quiet libraries."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

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


def pytest_collection_finish() -> None:
    """Keep what the collection loaded out of garbage collections: all of it stays to the end, and
    each training would search it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked embedded checkpoints, shared by all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    cache = shared / "model-cache"
    cache.mkdir(exist_ok=True)
    return cache


@pytest.fixture(scope="session")
def smollm2_tokenizer(model_cache: Path) -> Path:
    """Return the folder of SmolLM2's tokenizer, read from its GGUF once for all workers."""
    from filelock import FileLock

    from prism_cli.modeling import embedded

    folder = model_cache / "smollm2-tokenizer"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            embedded.smollm2_tokenizer().save_pretrained(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def small_tokenizer(smollm2_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of SmolLM2's tokenizer without its rarer tokens; read-only for tests."""
    from tests.modeling.cut_tokenizer import cut_tokenizer

    return cut_tokenizer(smollm2_tokenizer, tmp_path_factory.mktemp("small-tokenizer"))


@pytest.fixture(scope="session")
def tiny_reranker(small_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random model with the small tokenizer; read-only for tests."""
    from tests.modeling.cut_tokenizer import VOCABULARY
    from tests.modeling.tiny import tiny_model

    folder = tmp_path_factory.mktemp("tiny-reranker")
    tiny_model("llama", vocabulary=VOCABULARY).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(small_tokenizer / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def chat_server(
    small_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Serve a tiny chat model with `transformers serve`; yield the base URL and its folder."""
    from tests.adapters.chat.tiny_chat import tiny_chat
    from tests.servers.transformers_serve import transformers_serve

    for package in ("fastapi", "uvicorn"):
        pytest.importorskip(package, reason="transformers serve is not installed")
    folder = tiny_chat(tmp_path_factory.mktemp("chat"), small_tokenizer)
    with transformers_serve(folder, tmp_path_factory.mktemp("served")) as base_url:
        yield base_url, folder


@pytest.fixture(autouse=True)
def outlined_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an empty <svg> stand for each figure: drawing is most of the time of an evaluation.

    Figures are drawn in tests/reporting, in tests/evaluation and where a test is marked `figures`.
    """
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    if folder not in ("reporting", "evaluation") and not request.node.get_closest_marker("figures"):
        monkeypatch.setattr(
            "prism_cli.reporting.svg._cleaned",
            lambda _figure, _ident, title, *_: f'<svg role="img" aria-label="{title}"/>'.encode(),
        )


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
