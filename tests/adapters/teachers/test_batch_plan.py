"""Batches of pairs: a permutation, within bounds, equal documents side by side."""

from hypothesis import given
from hypothesis import strategies as st

from prism_cli.adapters.teachers.batch_plan import LONGEST_BYTES, plan_pairs

pairs = st.lists(
    st.tuples(st.sampled_from("abc"), st.text(alphabet="xyé", max_size=40)), max_size=60
)


@given(pairs, st.integers(1, 9), st.integers(1, 200))
def test_plan_is_a_permutation_within_the_bounds(
    given_pairs: list[tuple[str, str]], max_pairs: int, max_bytes: int
) -> None:
    batches = plan_pairs(given_pairs, max_pairs=max_pairs, max_bytes=max_bytes)
    assert sorted(index for batch in batches for index in batch) == list(range(len(given_pairs)))
    for batch in batches:
        documents = {given_pairs[index][1] for index in batch}
        longest = max(len(text.encode()) for text in documents)
        assert 1 <= len(batch) <= max_pairs
        assert len(documents) == 1 or len(documents) * longest <= max_bytes


def test_long_documents_come_first_and_equal_ones_together() -> None:
    documents = ["short", "a long document", "short", "a long document"]
    given_pairs = [(f"q{index}", text) for index, text in enumerate(documents)]
    assert plan_pairs(given_pairs, max_pairs=2) == [[1, 3], [0, 2]]


def test_a_document_weighs_no_more_than_a_model_reads_of_it() -> None:
    given_pairs = [("q", "x" * 10**6 + str(index)) for index in range(4)]
    assert len(plan_pairs(given_pairs, max_bytes=2 * LONGEST_BYTES)) == 2
