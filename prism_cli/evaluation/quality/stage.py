"""Quality: measures of what a reranker, or whoever labelled the rows, wrote about each pair."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from prism_cli.domain.evidence_measures import Marks, lead, marks_of, text_measures
from prism_cli.domain.languages import language_difference
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.engine.stage import RowStage
from prism_cli.errors import MissingDataError
from prism_cli.evaluation.quality.gold_rows import Gold, GoldRows
from prism_cli.ports import BatchBackend, CallBackend, Outcome, Reply, Request, RowWork, request
from prism_cli.rows.candidates import check_rerank_row
from prism_cli.rows.results import result_pairs
from prism_cli.rows.row import Row, doc_id, query_id
from prism_cli.rows.written import Written, written
from prism_cli.stages.pair_answers import PairAnswers
from prism_cli.stages.retries import gather

BASELINES = ("document", "lead", "extractive")
SHOWN_CHARACTERS = 800
Asking = Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]
Rate = Callable[[Written], Asking]
"""Asks a judge about a pair with the verdict yes; what it returns stands under `rating`."""


class QualityStage(RowStage):
    """Writes for each pair query_id, doc_id and `quality`, and `texts` where they are worth a look.

    Of what a baseline shows in place of the evidence, the same is measured: `document` the whole
    document, `lead` its first sentences at the length of the evidence, `extractive` the sentences
    closest to the query.

    Args:
        source: whose texts; one of SOURCES of `rows.written`.
        gold: people's marks.
        baselines: some of BASELINES.
        extractive: the generator of that baseline.
        rate: for ratings by a judge.
    """

    name: ClassVar[str] = "quality"
    counted = ("_counts", "_answers")

    def __init__(
        self,
        source: str = "auto",
        gold: GoldRows | None = None,
        baselines: Sequence[str] = (),
        extractive: BatchBackend | CallBackend | None = None,
        rate: Rate | None = None,
    ) -> None:
        self._source = source
        self._gold = gold
        self._baselines = baselines
        self._extractive = extractive
        self._rate = rate
        self._counts: Counter[str] = Counter()
        self._answers = PairAnswers()
        self.needs_first_pass = gold is not None

    def check(self, row: Row) -> None:
        """A pair, or a query with documents and results, with a prediction or a label.

        Raises:
            RowError: names the field.
        """
        check_rerank_row(row)
        for pair in _pairs(row):
            written(pair, self._source)

    def first_pass(self, rows: Iterator[Row]) -> None:
        """Look for one row that the gold speaks of, before any work.

        Raises:
            MissingDataError: there is none.
        """
        assert self._gold is not None
        first: tuple[str, str] | None = None
        for row in rows:
            for pair in _pairs(row):
                ids = query_id(pair), doc_id(pair)
                first = first or ids
                if self._gold.find(*ids):
                    return
        if first is not None:
            theirs = self._gold.figures.example
            raise MissingDataError(
                f"--gold: none of its {self._gold.figures.rows:,} rows speaks of these rows: it is "
                f"matched on query_id and, where given, doc_id; its first row has query_id "
                f"{theirs[0]!r}, doc_id {theirs[1] or None!r}; the first row measured has query_id "
                f"{first[0]!r}, doc_id {first[1]!r} (--field query_id=NAME where it is called "
                "otherwise)"
            )

    def work(self, row: Row) -> Outcome | RowWork:
        """Measure, and ask what is to be asked."""
        found = [(pair, written(pair, self._source)) for pair in _pairs(row)]
        for pair, one in found:
            self._answers.note(pair, self.place, {"verdict": one.verdict, "label": one.label})
        if "documents" not in row:
            return self._row(found[0][1])
        return self._rows([one for _, one in found])

    def summary(self) -> dict[str, object]:
        """Whose texts, and verdicts; which contradict each other."""
        return {"pairs": dict(sorted(self._counts.items()))} | self._answers.figures()

    def _rows(self, pairs: Sequence[Written]) -> RowWork:
        found: list[Row] = yield from gather([self._row(one) for one in pairs])
        return found

    def _row(self, one: Written) -> Generator[Sequence[Request], Sequence[Reply], Row]:
        self._counts["texts of the prediction" if one.predicted else "texts of the labels"] += 1
        self._counts[f"verdict {one.verdict or 'undecided'}"] += 1
        document = one.document
        gold = self._gold.find(one.query_id, one.doc_id) if self._gold else None
        marks = _marks(one, gold)
        quality: dict[str, Any] = {
            "predicted": one.predicted,
            "verdict": one.verdict,
            "label": one.label,
            "score": one.score,
            "logit": one.logit,
            "asked": one.asked,
            "format_ok": one.format_ok,
            "document_characters": len(document),
            "document_tokens": estimate_tokens(document),
        }
        if gold:
            quality["gold"] = {
                "rows": gold.rows,
                "answerable": marks.answerable,
                "in_document": marks.in_document,
            }
        if one.verdict == "yes" and one.asked:
            if one.evidence:
                quality["evidence"] = text_measures(one.evidence, document) | {
                    "language_difference": language_difference(one.evidence, document)
                }
            quality["people"] = marks.measures(one.evidence)
            quality |= yield from self._asked(one, marks)
        return {"query_id": one.query_id, "doc_id": one.doc_id, "quality": quality} | _shown(
            one, quality, gold
        )

    def _asked(self, one: Written, marks: Marks) -> Asking:
        """Ratings and baselines."""
        works: dict[str, Asking] = {}
        if self._rate is not None:
            works["rating"] = self._rate(one)
        if self._extractive is not None and "extractive" in self._baselines:
            works["extractive"] = _extract(self._extractive, one)
        answers = yield from gather(list(works.values()))
        found = dict(zip(works, answers, strict=True))
        baselines: dict[str, Any] = {}
        for name in self._baselines:
            if name == "document":  # all else is known of a whole copy
                baselines[name] = marks.measures(one.document)
                continue
            text = (
                found.pop(name)["evidence"] if name in found else lead(one.body, len(one.evidence))
            )
            baselines[name] = text_measures(text, one.document) | marks.measures(text)
        return found | ({"baselines": baselines} if baselines else {})


def _extract(backend: BatchBackend | CallBackend, one: Written) -> Asking:
    """{"evidence"}; "" where the document holds no sentence."""
    texts = (one.query, one.title, one.body)
    (reply,) = yield [request(backend, (texts, 0), *texts)]
    return {"evidence": reply.value.get("evidence", "")}


def _pairs(row: Row) -> list[Row]:
    return result_pairs(row) if "documents" in row else [row]


def _marks(one: Written, gold: Gold | None) -> Marks:
    if gold is None:
        return Marks()
    return marks_of(
        one.document,
        answers=gold.answers,
        rationales=gold.rationales,
        answerable=gold.answerable,
        answers_here=gold.answers_here,
        rationales_here=gold.rationales_here,
    )


def _shown(one: Written, quality: Mapping[str, Any], gold: Gold | None) -> Row:
    """The texts, cut, where something looks wrong."""
    people = quality.get("people", {})
    wrong_yes = one.verdict == "yes" and quality.get("gold", {}).get("answerable") is False
    missing = quality.get("evidence", {}).get("missing")
    if not (missing or wrong_yes or people.get("answer_kept") is False):
        return {}
    texts = {"query": one.query, "evidence": one.evidence, "document": one.document}
    shown: Row = {name: text[:SHOWN_CHARACTERS] for name, text in texts.items()}
    if gold and gold.answers:
        shown["answers"] = [text[:SHOWN_CHARACTERS] for text in gold.answers[:3]]
    return {"texts": shown}
