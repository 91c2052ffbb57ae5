"""The generator that needs no model: the texts that the corpus itself has for a pair."""

from prism_cli.ports import Value
from prism_cli.rows.fields import SOURCE_TEXTS
from prism_cli.rows.row import Row, string_field


class SourceTexts:
    """Finds contribution and evidence in the row."""

    spec = "source"

    def texts(self, row: Row) -> Value:
        """The row's own texts, "" where it has none.

        Raises:
            RowError: one of another type than a string.
        """
        texts = (string_field(row, name, required=False) for name in SOURCE_TEXTS)
        return dict(zip(("contribution", "evidence"), texts, strict=True))
