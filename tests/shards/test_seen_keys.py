"""The compact set of texts."""

from prism_cli.shards.seen_keys import SeenKeys


def test_each_text_is_new_once_also_while_the_table_grows() -> None:
    seen, texts = SeenKeys(), [f"doc-{number}" for number in range(3000)]
    assert all(map(seen.add, texts))
    assert not any(map(seen.add, texts))
    assert len(seen) == 3000
