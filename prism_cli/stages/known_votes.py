"""Votes and verdicts of a row that need not be asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from prism_cli.domain.voting import Vote
from prism_cli.rows.row import Row, document_text
from prism_cli.shards.paid_rows import PaidRows, PaidValue
from prism_cli.stages.panel_stopping import STOPPING_FIELDS


class KnownVote(NamedTuple):
    """A vote that a row or an earlier output has; `origin` is "" for the row's own."""

    judge: str
    vote: Vote
    probability: float | None
    origin: str


@dataclass
class Known:
    """Known votes of one row.

    Attributes:
        votes: in the panel's order.
        verdict: of an earlier output, which replaces the whole panel.
    """

    votes: list[KnownVote] = field(default_factory=list)
    verdict: PaidValue | None = None


class KnownVotes:
    """Finds known votes.

    Args:
        judges: specs of the panel, in order.
        keeps: whether votes of the rows themselves are kept.
        takes_verdicts: whether a verdict without a judge replaces the panel, where no vote is
            known.
        paid: values that are paid for already.
    """

    def __init__(
        self, judges: Sequence[str], *, keeps: bool, takes_verdicts: bool, paid: PaidRows | None
    ) -> None:
        self._judges, self._keeps, self._takes_verdicts = judges, keeps, takes_verdicts
        self._paid = paid

    def of(self, row: Row) -> Known:
        """Return what is known of a row."""
        known: dict[str, KnownVote] = {}
        if self._keeps:
            votes, probabilities = row.get("votes") or {}, row.get("vote_probabilities") or {}
            known = {
                spec: KnownVote(spec, votes[spec], probabilities.get(spec), "")
                for spec in self._judges
                if votes.get(spec) in ("yes", "no")
            }
        if self._paid is None:
            return Known(list(known.values()))
        paid = self._paid.find(row["query"], document_text(row))
        for spec in self._judges:
            vote = paid.get(("votes", spec))
            if spec not in known and vote is not None:
                probability = paid.get(("vote_probabilities", spec))
                value = probability.value if probability else None
                known[spec] = KnownVote(spec, vote.value, value, vote.origin)
        verdict = paid.get(("verdict", "")) if self._takes_verdicts and not known else None
        return Known([known[spec] for spec in self._judges if spec in known], verdict)


def remove_old_labels(row: Row) -> dict[str, str]:
    """Remove what an earlier panel wrote; return the entries of `reused` for other fields."""
    for name in ("vote_probabilities", "audit", "audit_share", "abstained", *STOPPING_FIELDS):
        row.pop(name, None)
    before = row.pop("reused", None)
    origins = before.items() if isinstance(before, dict) else ()
    return {
        name: origin
        for name, origin in origins
        if name != "verdict" and not name.startswith("votes.")
    }
