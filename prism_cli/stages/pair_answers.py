"""Counts of rows that contradict an earlier row of their pair, for stages that drop none."""

from collections.abc import Mapping

from prism_cli.domain.contradictions import NAMED, pair_answer, pair_key
from prism_cli.rows.row import Row, doc_id, query_id
from prism_cli.shards.spill import SeenTexts


class PairAnswers:
    """Answers of rows about their pairs, in any order of rows; see `pair_answer` and `pair_key`."""

    def __init__(self, first_answers: SeenTexts | None = None) -> None:
        self._first_answers = first_answers or SeenTexts()
        self._rows = 0
        self._named: list[str] = []

    def note(
        self, row: Row, location: tuple[str, int], answers: Mapping[str, str | None] | None = None
    ) -> None:
        """Compare a row with the earlier ones.

        Args:
            location: file and line of the row.
            answers: source of an answer -> answer; by default the result of `pair_answer`.
        """
        key = pair_key(row)
        name = f"{location[0]}:{location[1]} (query_id {query_id(row)!r}, doc_id {doc_id(row)!r}"
        contradictions: list[str] = []
        for source, answer in (answers or {"": pair_answer(row)}).items():
            if answer is not None:
                description = f"{name}: {source and f'{source} '}{answer})"
                first = self._first_answers.first(
                    key + source.encode(), f"{answer}\0{description}".encode()
                )
                earlier, _, earlier_description = first.decode().partition("\0")
                if earlier != answer:
                    contradictions.append(f"{earlier_description} and {description}")
        self._rows += bool(contradictions)
        self._named += contradictions[: NAMED - len(self._named)]

    def new_copy(self) -> "PairAnswers":
        """Return counts for another shard, whose rows are compared with those of all shards."""
        return PairAnswers(self._first_answers)

    def merge(self, other: "PairAnswers") -> None:
        """Add the figures of another shard."""
        self._rows += other._rows
        self._named += other._named[: NAMED - len(self._named)]

    def figures(self) -> dict[str, object]:
        """Return figures for the summary; {} where no row contradicts another."""
        if not self._rows:
            return {}
        return {
            "rows that contradict an earlier one of their pair, none left out": self._rows,
            "contradictory, such as": "; ".join(self._named),
        }
