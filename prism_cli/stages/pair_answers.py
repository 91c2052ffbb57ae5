"""Rows that contradict an earlier one of their pair, counted where no row is left out for it."""

from collections.abc import Mapping

from prism_cli.domain.contradictions import NAMED, pair_answer, pair_key
from prism_cli.rows.row import Row, doc_id, query_id
from prism_cli.shards.spill import SeenTexts


class PairAnswers:
    """What rows say of their pairs, wherever they stand; see `pair_answer` and `pair_key`."""

    def __init__(self, said: SeenTexts | None = None) -> None:
        self._said = said or SeenTexts()
        self._rows = 0
        self._named: list[str] = []

    def note(
        self, row: Row, place: tuple[str, int], answers: Mapping[str, str | None] | None = None
    ) -> None:
        """Hold a row against the earlier ones.

        Args:
            place: file and line.
            answers: what it says, by who says it; by default what `pair_answer` finds.
        """
        key = pair_key(row)
        name = f"{place[0]}:{place[1]} (query_id {query_id(row)!r}, doc_id {doc_id(row)!r}"
        named: list[str] = []
        for who, answer in (answers or {"": pair_answer(row)}).items():
            if answer is not None:
                said = f"{name}: {who and f'{who} '}{answer})"
                first = self._said.first(key + who.encode(), f"{answer}\0{said}".encode())
                earlier, _, words = first.decode().partition("\0")
                if earlier != answer:
                    named.append(f"{words} and {said}")
        self._rows += bool(named)
        self._named += named[: NAMED - len(self._named)]

    def anew(self) -> "PairAnswers":
        """Counts of its own for a shard, whose rows are held against those of all shards."""
        return PairAnswers(self._said)

    def merge(self, other: "PairAnswers") -> None:
        """Add the figures of another shard."""
        self._rows += other._rows
        self._named += other._named[: NAMED - len(self._named)]

    def figures(self) -> dict[str, object]:
        """For the summary; {} where no row contradicts another."""
        if not self._rows:
            return {}
        return {
            "rows that contradict an earlier one of their pair, none left out": self._rows,
            "contradictory, such as": "; ".join(self._named),
        }
