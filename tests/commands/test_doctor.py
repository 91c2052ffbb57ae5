"""`prism doctor` on a machine with a GPU; its judges are tested in tests/adapters/judges."""

import json
import re
from importlib.metadata import PackageNotFoundError

import pytest

from prism_cli.commands import gpu_kernels
from tests.door import prism

WORDS = ("doctor", "--judge", "deepseek/deepseek-chat")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, and one of the two packages."""

    def version(package: str) -> str:
        if package == "causal-conv1d":
            raise PackageNotFoundError(package)
        return "0.6.0"

    monkeypatch.setattr(gpu_kernels, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu_kernels, "version", version)


@pytest.mark.usefixtures("gpu")
def test_packages_with_kernels_are_shown_with_the_way_to_get_them() -> None:
    done = prism(*WORDS)
    assert done.returncode == 3  # the judge has no key
    assert re.search(r"flash-linear-attention +0\.6\.0 ", done.stdout)
    assert re.search(r"causal-conv1d +not installed ", done.stdout)
    assert "'prism-cli[local,gpu]'" in done.stdout
    found = json.loads(prism(*WORDS, "--json").stdout)["gpu_kernels"]
    assert found == {"flash-linear-attention": "0.6.0", "causal-conv1d": None}


def test_nothing_is_said_of_kernels_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernels, "has_gpu", lambda: False)
    assert "kernels" not in prism(*WORDS).stdout
    assert "gpu_kernels" not in json.loads(prism(*WORDS, "--json").stdout)
