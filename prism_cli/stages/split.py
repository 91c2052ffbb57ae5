"""Split of rows into train and dev, without leakage.

All rows of one original query, of its near-duplicates, and of queries that share a positive
document (or near-duplicates of one) are on one side. A document that is positive in dev is never
positive in train; it may be a negative there. Rows with texts of a test set are on neither side.
"""

from collections import Counter
from collections.abc import Sequence

from prism_cli.engine.stage import RowStage
from prism_cli.ports import Outcome, Routed
from prism_cli.rows.row import (
    Dropped,
    Row,
    check_pair,
    document_text,
    number_field,
    original_query,
    string_field,
)
from prism_cli.stages.split_survey import Sides, SplitSurvey, is_positive, side_key
from prism_cli.stages.split_texts import Excluded

QUERY_IN_EVAL = "query stands in an evaluation set"
DOCUMENT_IN_EVAL = "document stands in an evaluation set"
POSITIVE_IN_DEV = "document is positive in dev"


class SplitStage(RowStage):
    """Routes rows to train and dev.

    Args:
        dev_queries: most dev queries of each source.
        dev_share: largest share of the source's queries for dev, 0 to 1, but at least one query.
        number_given: True if the user set `dev_queries`: the summary explains a smaller number.
        exclude: test sets.
    """

    name = "split"
    outputs = ("train", "dev")
    survey: SplitSurvey

    def __init__(
        self,
        *,
        dev_queries: int = 250,
        dev_share: float = 0.1,
        number_given: bool = False,
        exclude: Sequence[Excluded] = (),
        seed: int = 0,
    ) -> None:
        self.survey = SplitSurvey(dev_queries, dev_share, number_given, exclude, seed)
        self._exclude = exclude
        self._sides: Sides | None = None
        self._last_query = self._last_document = ("", "")
        self._rows: Counter[tuple[str, str]] = Counter()

    def check(self, row: Row) -> None:
        """Check the pair row."""
        check_pair(row)
        number_field(row, "teacher_score", 0, 1)
        string_field(row, "source", required=False)

    def use_survey(self, result: bytes) -> None:
        """Receive the sides."""
        self._sides = Sides.from_bytes(result)

    def work(self, row: Row) -> Outcome:
        """Route the row to its side, or drop it with the reason."""
        sides = self._sides
        if sides is None:
            raise TypeError("split works after its survey")
        text = original_query(row)
        if text != self._last_query[0]:
            self._last_query = text, side_key(text)
        query = self._last_query[1]
        if query in sides.eval_queries:
            return Dropped(QUERY_IN_EVAL)
        document = self._document_key(row) if sides.eval_documents or sides.held else ""
        # A test set may have the document without the row's title.
        bare = side_key(row["document"]) if sides.eval_documents and row.get("title") else document
        if not sides.eval_documents.isdisjoint((document, bare)):
            return Dropped(DOCUMENT_IN_EVAL)
        side = "dev" if query in sides.dev else "train"
        if side == "train" and document in sides.held and is_positive(row):
            return Dropped(POSITIVE_IN_DEV)
        self._rows[row.get("source") or "", side] += 1
        return Routed(((side, row),))

    def _document_key(self, row: Row) -> str:
        text = document_text(row)
        if text != self._last_document[0]:
            self._last_document = text, side_key(text)
        return self._last_document[1]

    def summary(self) -> dict[str, object]:
        """Return the split of each source, and the reasons for missing dev queries."""
        if self._sides is None:
            return {}
        sources = self._sides.sources
        table = [
            {
                "source": source.name or "-",
                "queries": source.queries,
                "dev queries": source.chosen,
                "train rows": self._rows[source.name, "train"],
                "dev rows": self._rows[source.name, "dev"],
            }
            for source in sorted(sources)
        ]
        figures: dict[str, object] = {}
        if self._exclude:
            figures["kept clear of"] = ", ".join(excluded.name for excluded in self._exclude)
        if reasons := "; ".join(self.survey.shortage(sources)):
            figures["dev queries short"] = reasons
        return {**figures, "sources": table}
