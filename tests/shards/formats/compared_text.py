"""A text that counts comparisons, for tests of the time that column names take."""


class ComparedText(str):
    """A text; `compared` counts the comparisons of all, from what a test sets it to."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        ComparedText.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__

    def strip(self, chars: str | None = None) -> "ComparedText":
        """Return the text as it is, so that its copy counts, too."""
        return self
