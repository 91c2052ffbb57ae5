"""A panel of judges on every row, asked one after another until the verdict is settled."""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from prism_cli.domain.voting import Poll, Vote
from prism_cli.engine.stage import RowStage
from prism_cli.ports import BatchBackend, CallBackend, Reply, RowWork, request
from prism_cli.rows.row import Row, check_pair, doc_id, document_text, query_id


@runtime_checkable
class RowJudge(Protocol):
    """A judge that finds its vote in the row."""

    @property
    def spec(self) -> str:
        """Names its votes."""

    def vote(self, row: Row) -> Vote | None:
        """None is an abstention. Raises RowError where the row cannot be judged."""


Judge = RowJudge | BatchBackend | CallBackend
"""A backend's payload is (query, document text); its refusal is an abstention."""


class RelabelStage(RowStage):
    """Writes votes, votes_cast, verdict and agreement; vote_probabilities where judges give them.

    Args:
        judges: the panel, cheapest first; no two with one spec.
        audit: share of rows, chosen by hash of (seed, query_id, doc_id), on which every judge
            votes, so that agreement between judges can be measured without the bias of stopping.
    """

    name = "relabel"

    def __init__(self, judges: Sequence[Judge], *, audit: float = 0.0, seed: int = 0) -> None:
        # A look at the protocol costs more than the vote: once a judge, not once a row.
        self._panel = [
            (one.spec, one.vote, None) if isinstance(one, RowJudge) else (one.spec, None, one)
            for one in judges
        ]
        self._audit = audit if len(self._panel) > 1 else 0.0
        self._seed = seed
        self._verdicts: Counter[str] = Counter()
        self._votes: dict[str, Counter[str]] = {one.spec: Counter() for one in judges}
        self._audited = 0

    def check(self, row: Row) -> None:
        """A pair row."""
        check_pair(row)

    def work(self, row: Row) -> RowWork:
        """Ask judge after judge; stop as soon as the verdict is reached or out of reach."""
        poll = Poll(len(self._panel))
        probabilities: dict[str, float] = {}
        audit = self._audited_by_lot(row)
        answers: list[tuple[str, Vote | None]] = []
        for spec, vote_on, backend in self._panel:
            if poll.settled and not audit:
                break
            vote: Vote | None = None
            if vote_on is not None:
                vote = vote_on(row)
            elif backend is not None:
                text = document_text(row)
                (reply,) = yield [request(backend, (row["query"], text), row["query"], text)]
                vote = _vote_of(reply)
                if "probability" in reply.value:
                    probabilities[spec] = reply.value["probability"]
            poll.add(spec, vote)
            answers.append((spec, vote))
        for spec, vote in answers:
            self._votes[spec][vote or "abstained"] += 1
        self._verdicts[poll.verdict or "undecided"] += 1
        for name in ("vote_probabilities", "audit"):  # of an earlier panel
            row.pop(name, None)
        row["votes"] = poll.votes
        if probabilities:
            row["vote_probabilities"] = probabilities
        row["verdict"] = poll.verdict
        row["votes_cast"] = len(poll.votes)
        row["agreement"] = poll.agreement
        if audit:
            self._audited += 1
            row["audit"] = True
        return row

    def summary(self) -> dict[str, object]:
        """Verdicts, and each judge's votes."""
        figures: dict[str, object] = {
            "verdicts": {name: self._verdicts[name] for name in ("yes", "no", "undecided")}
        }
        figures["votes"] = [
            {"judge": spec, **{name: votes[name] for name in ("yes", "no", "abstained")}}
            for spec, votes in self._votes.items()
        ]
        if self._audit:
            figures["audit rows"] = self._audited
        return figures

    def _audited_by_lot(self, row: Row) -> bool:
        if not self._audit:
            return False
        text = f"{self._seed}\0audit\0{query_id(row)}\0{doc_id(row)}"
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest) < self._audit * 2**64


def _vote_of(reply: Reply) -> Vote | None:
    vote = reply.value.get("vote")
    return vote if vote in ("yes", "no") else None
