"""Drafts of prompt lookup, worked out by hand."""

from prism_cli.modeling.prompt_lookup import MAX_DRAFT, PromptLookup


def after(
    source: list[int], text: list[int], *, max_tokens: int = 99, breaks: tuple[int, ...] = ()
) -> list[int]:
    draft = PromptLookup(source, breaks)
    for token in text:
        draft.append(token)
    return draft.propose(max_tokens)


def test_longer_runs_propose_more() -> None:
    source = list(range(100, 150))
    assert after(source, [7]) == []
    assert after(source, [103]) == [104]
    assert after(source, [103, 104]) == [105, 106, 107]
    assert after(source, [103, 104, 105]) == [106, 107, 108, 109, 110]
    assert after(source, source[:30]) == source[30 : 30 + MAX_DRAFT]
    assert after(source, [103, 104, 105], max_tokens=2) == [106, 107]


def test_run_goes_on_where_the_source_does() -> None:
    assert after([1, 2, 3, 1, 2, 4, 5, 6], [1, 2]) == [3, 1, 2]
    assert after([1, 2, 3, 1, 2, 4, 5, 6], [1, 2, 4], max_tokens=2) == [5, 6]
    assert after([1, 2, 3], [1, 2, 9]) == []
    assert after([1, 2, 3], [1, 2, 9, 2]) == [3]


def test_text_copies_from_itself() -> None:
    assert after([], [5, 6, 7, 5]) == [6]
    assert after([], [5, 6, 7, 5, 6]) == [7, 5, 6]


def test_end_of_a_sentence_ends_a_proposal() -> None:
    assert after([1, 2, 3, 0, 4, 5, 6, 7], [1, 2], breaks=(0,)) == [3, 0]
    assert after([1, 2, 3, 0, 4, 5, 6, 7], [1, 2, 3, 0], max_tokens=3, breaks=(0,)) == [4, 5, 6]
