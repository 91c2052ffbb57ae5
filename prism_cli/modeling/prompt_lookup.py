"""Prompt lookup decoding: draft tokens copied from an earlier occurrence of the last tokens.

Evidence is mostly copied from the document, so the model verifies several copied tokens in one pass
(Saxena 2023; LLMA, Yang et al. 2023, arXiv 2304.04487). A wrong draft costs time and never changes
the text.
"""

from collections.abc import Collection, Sequence

MAX_DRAFT = 15
"""Maximum number of tokens of a draft."""


class PromptLookup:
    """Draft source for one text: looks up its last tokens in the source and in the text itself.

    Args:
        source: token ids that the text may copy from.
        breaks: tokens that end a sentence. A draft ends there, too: a text that quotes rarely
            continues with the next sentence.
    """

    def __init__(self, source: Sequence[int], breaks: Collection[int] = ()) -> None:
        self._history = list(source)
        self._breaks = breaks
        self._places: dict[int, list[int]] = {}
        for place, token in enumerate(self._history):
            self._places.setdefault(token, []).append(place)
        self._matches: list[int] = []  # the last places of earlier occurrences of the run
        self._length = 0

    def append(self, token: int) -> None:
        """Append the text's next token."""
        history = self._history
        longer = [
            at + 1 for at in self._matches if at + 1 < len(history) and history[at + 1] == token
        ]
        # Else a run begins with this token alone: shorter runs that end here are not searched.
        self._length = self._length + 1 if longer else 1
        places = self._places.setdefault(token, [])
        self._matches = longer or places.copy()
        places.append(len(history))
        history.append(token)

    def propose(self, max_tokens: int) -> list[int]:
        """Return the tokens behind the first occurrence of the current run.

        A longer run gives a longer draft. Empty if the last token is new.
        """
        if not self._matches:
            return []
        start = self._matches[0] + 1
        draft = self._history[start : start + min(2 * self._length - 1, max_tokens, MAX_DRAFT)]
        for count, token in enumerate(draft, 1):
            if token in self._breaks:
                return draft[:count]
        return draft
