"""Patterns of keys match as patterns of paths do."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.shards.remote import inputs
from prism_cli.shards.remote.inputs import _pattern, find_remote_shards
from prism_cli.shards.remote.store import ObjectState

KEYS = [
    f"{folder}{name}"
    for folder in ("", "a/", "b/", "a/b/", "a/b/a/")
    for name in ("1.x", "2.x", "a.x", "[1].x", "é.x")
]
MARKS = ["*", "?", "a", "b", "1", "é", "[1]", "[!1]", "[[]1]", "[a-z]", ".x", "*.x"]
SEGMENTS = st.lists(st.sampled_from(MARKS), min_size=1, max_size=3).map("".join)
PATTERNS = st.tuples(
    st.lists(SEGMENTS.filter(lambda part: "**" not in part) | st.just("**"), max_size=2),
    SEGMENTS.filter(lambda part: "**" not in part),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for key in KEYS:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).touch()
    return folder


@given(parts=PATTERNS)
def test_a_pattern_matches_what_a_path_matches(
    tree: Path, parts: tuple[Sequence[str], str]
) -> None:
    pattern = "/".join([*parts[0], parts[1]])
    found = {path.relative_to(tree).as_posix() for path in tree.glob(pattern) if path.is_file()}
    matches = _pattern(pattern).fullmatch
    assert {key for key in KEYS if matches(key)} == found


def test_objects_that_match_are_found_without_a_look_at_the_pattern_as_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs, "import_library", lambda _: None)
    monkeypatch.setattr(inputs, "object_state", lambda name: pytest.fail(f"looked at {name}"))
    objects = [("in/a.jsonl", ObjectState(1, "e")), ("in/b.txt", ObjectState(1, "e"))]
    monkeypatch.setattr(inputs, "objects_below", lambda _: iter(objects))
    (found,) = find_remote_shards("s3://bucket/in/*.jsonl", plain=False)
    assert found.name == "s3://bucket/in/a.jsonl"
