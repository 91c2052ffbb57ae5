"""The generator that returns the texts that the corpus itself has for a pair."""

from prism_cli.ports import Value
from prism_cli.rows.fields import SOURCE_TEXTS
from prism_cli.rows.row import Row, string_field


class SourceTexts:
    """Takes contribution and evidence from the row."""

    spec = "source"

    def texts(self, row: Row) -> Value:
        """Return the row's own texts, "" for missing ones.

        Raises:
            RowError: a text is not a string.
        """
        texts = (string_field(row, name, required=False) for name in SOURCE_TEXTS)
        return dict(zip(("contribution", "evidence"), texts, strict=True))
