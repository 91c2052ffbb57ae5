"""Sampling: a score-balanced, length-capped subset; quotas from a survey, rows by hash.

The rows that fill a quota depend on (seed, query_id, doc_id) and on the row's own bytes, not on the
order of rows or their distribution over files. Rows equal in all of these share one key; where not
all of them fit, the first ones are kept.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from prism_cli.domain.disagreement import SIDES, opinions
from prism_cli.domain.length_caps import LengthCaps
from prism_cli.domain.sample_warning import ENOUGH_OF_ORIGIN, ENOUGH_OF_SCORE, cap_warning, edges
from prism_cli.domain.sampling import PAPER_BUCKETS, bin_of
from prism_cli.engine.stage import RowStage
from prism_cli.ports import Outcome
from prism_cli.rows.row import (
    Dropped,
    Row,
    check_pair,
    number_field,
    scores_field,
    string_field,
    votes_field,
)
from prism_cli.stages.pair_answers import PairAnswers
from prism_cli.stages.sample_survey import (
    DisagreementSurvey,
    Quotas,
    SampleSurvey,
    Stratum,
    origin_key,
)

MAX_SOURCE_HISTOGRAMS = 20
"""Number of sources, the largest ones, with a histogram each."""
_TOO_FEW_SIDES = "fewer than two of votes, teacher_score and score"
_ENOUGH = "others differ more"


class SampleStage(RowStage):
    """Keeps rows by quota; every other row is dropped with its reason.

    Args:
        size: rows wanted, in equal shares over `bins` bins of teacher_score; None for the paper's
            rule: per source, over buckets of the raw mean score, then labelled : web = 2 : 3.
        lengths: limits by which documents are truncated, and documents or pairs dropped, before
            quotas are counted; None for no limit.
        web_sources: values of `source` that are web rows.
        by_disagreement: keep the `size` rows on which judge, teacher and student differ most.
    """

    name = "sample"
    survey: SampleSurvey
    counted = ("_after", "_verdicts", "_left_out", "_cut_documents", "_answers", "_compared")

    def __init__(
        self,
        size: int | None = None,
        *,
        bins: int = 10,
        lengths: LengthCaps | None = None,
        web_sources: Collection[str] = (),
        seed: int = 0,
        by_disagreement: bool = False,
    ) -> None:
        self._size = size
        self._bins = bins if size is not None else PAPER_BUCKETS
        self._lengths = lengths
        self._cut_documents = 0
        self._web = frozenset(web_sources)
        self._by_disagreement = by_disagreement
        kind = DisagreementSurvey if by_disagreement else SampleSurvey
        self.survey = kind(size, self._bins, lengths, self._web, seed)
        self._compared: Counter[str] = Counter()
        self._found = Quotas()
        self._after: Counter[Stratum] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._answers = PairAnswers()

    def check(self, row: Row) -> None:
        """Check the pair row; scores are numbers in [0, 1]."""
        check_pair(row)
        number_field(row, "teacher_score", 0, 1)
        scores_field(row, "teacher_scores")
        string_field(row, "source", required=False)
        if self._by_disagreement:
            votes_field(row)
            scores_field(row, "vote_probabilities")
            number_field(row, "score", 0, 1)

    def use_survey(self, result: bytes) -> None:
        """Receive the quotas and cutoffs."""
        self._found = Quotas.from_bytes(result)

    def work(self, row: Row) -> Outcome:
        """Return the row, or drop it with the reason."""
        self._answers.note(row, self.location)
        score = self.survey.score(row)
        if score is None:
            return Dropped(_TOO_FEW_SIDES if self._by_disagreement else "no teacher_score")
        if self._lengths and (reason := self._lengths.drop_reason(row)):
            return Dropped(reason)
        source, index = row.get("source") or "", bin_of(score, self._bins)
        stratum = self.survey.stratum(source, index)
        verdict = row.get("verdict") or ""
        self._verdicts[verdict] += 1
        if reason := self._over_a_cap(row, stratum):
            reason = _ENOUGH if self._by_disagreement else reason
            self._left_out[verdict, reason] += 1
            return Dropped(reason)
        self._after[source, index] += 1
        if self._by_disagreement:
            self._compared[", ".join(opinions(row))] += 1
            row["disagreement"] = round(score, 4)
        if self._lengths and self._lengths.cut(row):
            self._cut_documents += 1
        return row

    def _over_a_cap(self, row: Row, stratum: Stratum) -> str | None:
        found = self._found
        cutoff = found.cutoffs.get(stratum)
        origin_cutoff = found.origin_cutoffs.get(stratum[0] in self._web)
        if cutoff or origin_cutoff:
            key = self.survey.key(row)
            if cutoff and not cutoff.keeps(key, self.location):
                return ENOUGH_OF_SCORE
            if origin_cutoff and not origin_cutoff.keeps(origin_key(key), self.location):
                return ENOUGH_OF_ORIGIN
        return None

    def summary(self) -> dict[str, object]:
        """Return the rule, the limits, and histograms before and after, also by source."""
        rule = (
            f"equal shares of {self._size} rows over {self._bins} bins of teacher_score"
            if self._size is not None
            else "the paper's caps, a source at a time, over buckets of the raw mean score"
        )
        if self._by_disagreement:
            rule = f"the {self._size} rows on which {', '.join(SIDES)} differ most; by difference"
        figures: dict[str, object] = {"rule": rule, **self._found.notes}
        if self._by_disagreement:
            figures["rows kept by what was compared"] = dict(self._compared.most_common())
        if self._lengths and (lengths := self._lengths.summary()):
            figures |= lengths | {"documents cut": self._cut_documents}
        sources = Counter[str]()
        for (source, _), count in self._found.before.items():
            sources[source] += count
        figures["histogram"] = self._histogram(list(sources))
        if len(sources) > 1:
            largest = [name for name, _ in sources.most_common(MAX_SOURCE_HISTOGRAMS)]
            figures["histograms"] = {name or "-": self._histogram([name]) for name in largest}
        totals = (self._found.counts, self._found.quotas, self._verdicts, self._left_out)
        if not self._by_disagreement and (
            warning := cap_warning(*totals, bins=self._bins, size=self._size)
        ):
            figures["warning"] = warning
        return figures | self._answers.figures()

    def _histogram(self, sources: Sequence[str]) -> list[dict[str, object]]:
        return [
            {
                "score": edges(index, self._bins),
                "before": sum(self._found.before[source, index] for source in sources),
                "after": sum(self._after[source, index] for source in sources),
            }
            for index in range(self._bins)
        ]
