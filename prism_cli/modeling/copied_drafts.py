"""Tokens that a text may go on with, copied from where its last tokens stood before.

Evidence is mostly copied: so what follows in the document is proposed, and the model checks several
tokens in one pass (prompt lookup decoding, Saxena 2023; LLMA, Yang et al. 2023, arXiv 2304.04487).
A wrong proposal costs time and never changes the text.
"""

from collections.abc import Collection, Sequence

MAX_DRAFT = 15
"""Tokens of one proposal at the most."""


class CopiedDraft:
    """Follows one text through its source and through itself.

    Args:
        source: token ids that the text may copy from.
        breaks: tokens that end a sentence. A proposal ends there, too: a text that quotes seldom
            goes on with the next sentence.
    """

    def __init__(self, source: Sequence[int], breaks: Collection[int] = ()) -> None:
        self._known = list(source)
        self._breaks = breaks
        self._places: dict[int, list[int]] = {}
        for place, token in enumerate(self._known):
            self._places.setdefault(token, []).append(place)
        self._run: list[int] = []  # where the tokens of the run at work end
        self._length = 0

    def follow(self, token: int) -> None:
        """The text's next token."""
        known = self._known
        further = [at + 1 for at in self._run if at + 1 < len(known) and known[at + 1] == token]
        # Else a run begins with this token alone: shorter runs that end here are not looked for.
        self._length = self._length + 1 if further else 1
        places = self._places.setdefault(token, [])
        self._run = further or places.copy()
        places.append(len(known))
        known.append(token)

    def proposal(self, most: int) -> list[int]:
        """What stood behind the first place of the run that the text is in, the more the longer
        the run is; at most `most` tokens, none where the last token is new."""
        if not self._run:
            return []
        start = self._run[0] + 1
        found = self._known[start : start + min(2 * self._length - 1, most, MAX_DRAFT)]
        for count, token in enumerate(found, 1):
            if token in self._breaks:
                return found[:count]
        return found
