"""Provider files: what is refused before anything is asked."""

from pathlib import Path

import pytest

from prism_cli.configs.providers import load_providers
from prism_cli.errors import ConfigError


def problems(tmp_path: Path, text: str) -> str:
    """What is wrong with a provider file; "" for nothing."""
    file = tmp_path / "providers.toml"
    file.write_text(text)
    try:
        load_providers(str(file))
    except ConfigError as error:
        return "\n".join(one for one in error.problems if one.startswith(f"{file}: "))
    return ""


def provider(url: str, key: str = "", name: str = "lab") -> str:
    return f'[providers.{name}]\napi = "openai"\nbase_url = "{url}"\nkey_env = "{key}"\n'


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://lab.example/v1?key=SECRET", "nothing after ? or #"),
        ("https://lab.example/v1?", "nothing after ? or #"),
        ("https://lab.example/v1#chat", "nothing after ? or #"),
        ("https://lab.example/v 1", "an address ends with its path"),
        ("https://me:secret@lab.example/v1", "name its variable in key_env"),
        ("https://@lab.example/v1", "name its variable in key_env"),
        ("https://lab.example:99999/v1", "ort"),
        ("https://[::1/v1", "IPv6"),
        ("https://lab.example/v1%3Fkey=SECRET", "nor parameters in the path"),
        ("https://lab.example/v1%253Fkey=SECRET", "nor parameters in the path"),
        ("https://lab.example/v1;key=SECRET", "nor parameters in the path"),
        ("http://lab.example/v1", "expected https"),
        ("lab.example", "expected an address"),
    ],
)
def test_an_address_is_scheme_host_and_path(tmp_path: Path, url: str, why: str) -> None:
    told = problems(tmp_path, provider(url))
    assert why in told
    assert "Value error" not in told  # pydantic's words, not ours
    assert "SECRET" not in told
    assert "secret" not in told


@pytest.mark.parametrize(
    "text",
    [
        provider("https://elsewhere.example/v1", "OPENAI_API_KEY"),
        provider("https://api.openai.com:8443/v1", "OPENAI_API_KEY"),
        provider("http://127.0.0.1:9/v1", "OPENAI_API_KEY"),
        provider("https://elsewhere.example/v1", "OPENAI_API_KEY", "openai"),
        provider("https://api.deepseek.com/v1", "OPENAI_API_KEY", "deepseek"),
        '[providers.openai]\nbase_url = "https://elsewhere.example/v1"\n',
        '[providers.deepseek]\nkey_env = "OPENAI_API_KEY"\n',
    ],
)
def test_a_key_goes_to_no_other_host_than_its_own(tmp_path: Path, text: str) -> None:
    assert "OPENAI_API_KEY holds the key of openai at" in problems(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        provider("https://API.openai.com:443/v2", "OPENAI_API_KEY"),
        '[providers.openai]\nbase_url = "http://localhost:9/v1"\n',
        provider("https://elsewhere.example/v1", "LAB_KEY", "openai"),
        provider("https://a.example", "LAB_KEY") + provider("https://a.example/v2", "LAB_KEY", "b"),
        provider("http://127.0.0.1:8", "LAB_KEY") + provider("http://localhost:9", "LAB_KEY", "b"),
    ],
)
def test_a_key_of_its_own_goes_where_its_file_says(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == ""


@pytest.mark.parametrize(
    "name",
    ["sk-abcdef1234567890", "gsk_abcdef1234567890", "AKIAIOSFODNN7EXAMPLE", "$LAB_KEY", "LAB KEY",
     "LAB_KEY ", "1KEY", "KEY\u00dc", "PATH", "HOME"],
)  # fmt: skip
def test_a_key_in_place_of_its_variable_is_refused_unseen(tmp_path: Path, name: str) -> None:
    file = provider("https://lab.example/v1", name) + "deadline_seconds = 1\n"
    file += provider("https://other.example/v1", name, "other")
    told = problems(tmp_path, file)
    assert told.count("the name of an environment variable, never the key itself") == 2
    assert name.strip() not in told


@pytest.mark.parametrize(
    "there", ["https://evil.example/v1", "https://a.example:8443/v1", "http://127.0.0.1:9/v1"]
)
def test_own_providers_share_no_variable_among_hosts(tmp_path: Path, there: str) -> None:
    file = provider("https://a.example/v1", "LAB_KEY", "a") + provider(there, "LAB_KEY", "b")
    told = problems(tmp_path, file)
    assert "providers.b: LAB_KEY holds the key of a at a.example, and a key does not go" in told
