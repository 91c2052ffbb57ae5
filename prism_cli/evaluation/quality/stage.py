"""Quality stage: measures of the texts that a reranker, or a labeller, wrote about each pair."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from prism_cli.domain.evidence_measures import GoldMarks, lead, marks_of, text_measures
from prism_cli.domain.rationales import rationale_match
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.engine.jobs import Line
from prism_cli.engine.stage import RowStage
from prism_cli.engine.survey import LocatedRow
from prism_cli.evaluation.quality.gold_rows import Gold, GoldRows
from prism_cli.evaluation.quality.row_measures import GENERATED
from prism_cli.evaluation.quality.text_figures import (
    EVIDENCE,
    LEAD,
    FigurePool,
    Figures,
    text_figures,
)
from prism_cli.ports import BatchBackend, CallBackend, Outcome, Reply, Request, RowWork, request
from prism_cli.rows.groundings import Grounding
from prism_cli.rows.results import pairs_of
from prism_cli.rows.row import Row, doc_id, query_id
from prism_cli.rows.verdict_texts import VerdictTexts, check_verdict_texts, read_verdict_texts
from prism_cli.stages.pair_answers import PairAnswers
from prism_cli.stages.retries import gather

BASELINES = ("document", "lead", "extractive")
SHOWN_CHARACTERS = 800
RequestSteps = Generator[Sequence[Request], Sequence[Reply], Mapping[str, Any]]
Rate = Callable[[VerdictTexts], RequestSteps]
"""Rates a pair with the verdict yes by a judge; the result is stored as `rating`."""


@dataclass(frozen=True)
class GoldSurvey:
    """Survey of one condition: the gold matches at least one row."""

    gold: GoldRows

    def read(self, rows: Iterable[LocatedRow]) -> bytes:
        """Return b"" after the first row that the gold matches, else the ids of the first pair."""
        first: tuple[str, str] | None = None
        for *_, row in rows:
            for pair in pairs_of(row):
                ids = query_id(pair), doc_id(pair)
                first = first or ids
                if self.gold.find(*ids):
                    return b""
        return orjson.dumps(first)

    def merge(self, parts: Sequence[bytes]) -> bytes:
        """Return b"".

        Raises:
            MissingDataError: the gold matches no row.
        """
        first = None
        for part in parts:
            if not part:
                return b""
            first = first or orjson.loads(part)
        if first is not None:
            raise self.gold.no_match(*first)
        return b""


class QualityStage(RowStage):
    """Writes query_id, doc_id and `quality` of each pair, and `texts` where something looks wrong.

    Baselines replace the evidence and are measured in the same way: `document` is the whole
    document, `lead` its first sentences up to the length of the evidence, `extractive` the
    sentences closest to the query.

    Args:
        source: whose texts; one of SOURCES of `rows.verdict_texts`.
        gold: people's marks.
        baselines: some of BASELINES.
        extractive: the generator of that baseline.
        rate: for ratings by a judge.
        pool: measures texts ahead in other processes; the caller closes it.
    """

    looks_ahead = True
    name: ClassVar[str] = "quality"
    counted = ("_counts", "_answers")

    def __init__(
        self,
        source: str = "auto",
        gold: GoldRows | None = None,
        baselines: Sequence[str] = (),
        extractive: BatchBackend | CallBackend | None = None,
        rate: Rate | None = None,
        pool: FigurePool | None = None,
    ) -> None:
        self._source = source
        self._gold = gold
        self._baselines = baselines
        self._extractive = extractive
        self._rate = rate
        self._pool = pool
        self._counts: Counter[str] = Counter()
        self._answers = PairAnswers()
        self.survey = None if gold is None else GoldSurvey(gold)

    def check(self, row: Row) -> None:
        """A pair, or a query with documents and results, with a prediction or a label.

        Raises:
            RowError: names the field.
        """
        check_verdict_texts(row, self._source)

    def look_ahead(self, lines: Sequence[Line], fields: Mapping[str, str]) -> None:
        """Have the texts of the lines measured in other processes."""
        if self._pool is not None:
            self._pool.add(lines, fields, self._source, self._baselines)

    def work(self, row: Row) -> Outcome | RowWork:
        """Measure the row, with ratings and baselines."""
        pairs = [(pair, read_verdict_texts(pair, self._source)) for pair in pairs_of(row)]
        figures = self._pool.take(self.location) if self._pool else None
        if figures is None:
            figures = [text_figures(texts, self._baselines) for _, texts in pairs]
        for pair, texts in pairs:
            self._answers.note(
                pair, self.location, {"verdict": texts.verdict, "label": texts.label}
            )
        if "documents" not in row:
            return self._row(pairs[0][1], figures[0])
        every = [texts for _, texts in pairs]
        return self._rows(list(zip(every, figures, strict=True)))

    def summary(self) -> dict[str, object]:
        """Return counts of texts by source, of verdicts, and of contradictions."""
        return {"pairs": dict(sorted(self._counts.items()))} | self._answers.figures()

    def _rows(self, pairs: Sequence[tuple[VerdictTexts, Figures]]) -> RowWork:
        rows: list[Row] = yield from gather([self._row(*pair) for pair in pairs])
        return rows

    def _row(
        self, texts: VerdictTexts, figures: Figures
    ) -> Generator[Sequence[Request], Sequence[Reply], Row]:
        self._counts["texts of the prediction" if texts.predicted else "texts of the labels"] += 1
        self._counts[f"verdict {texts.verdict or 'undecided'}"] += 1
        document = texts.document
        gold = self._gold.find(texts.query_id, texts.doc_id) if self._gold else None
        marks = _marks(texts, gold)
        quality: dict[str, Any] = {
            "predicted": texts.predicted,
            "verdict": texts.verdict,
            "label": texts.label,
            "score": texts.score,
            "logit": texts.logit,
            "asked": texts.asked,
            "format_ok": texts.format_ok,
            "document_characters": len(document),
            "document_tokens": estimate_tokens(document),
        }
        if gold:
            quality["gold"] = {
                "rows": gold.rows,
                "answerable": marks.answerable,
                "in_document": marks.in_document,
            }
        if texts.verdict == "yes" and texts.asked:
            if EVIDENCE in figures:
                quality["evidence"] = figures[EVIDENCE]
            quality["people"] = marks.measures(texts.evidence)
            if texts.grounding:
                quality["grounding"] = _grounding_measures(texts.grounding, marks)
            quality |= yield from self._ratings_and_baselines(texts, figures, marks)
        return {"query_id": texts.query_id, "doc_id": texts.doc_id, "quality": quality} | _shown(
            texts, quality, gold
        )

    def _ratings_and_baselines(
        self, texts: VerdictTexts, figures: Figures, marks: GoldMarks
    ) -> RequestSteps:
        """Return ratings and baselines."""
        works: dict[str, RequestSteps] = {}
        if self._rate is not None:
            works["rating"] = self._rate(texts)
        if self._extractive is not None and "extractive" in self._baselines:
            works["extractive"] = _extract(self._extractive, texts)
        answers = yield from gather(list(works.values()))
        results = dict(zip(works, answers, strict=True))
        baselines: dict[str, Any] = {}
        for name in self._baselines:
            if name == "document":  # its other measures are constants
                baselines[name] = marks.measures(texts.document)
                continue
            if name in results:
                text = results.pop(name)["evidence"]
                measures = text_measures(text, texts.document)
            else:
                text, measures = lead(texts.body, len(texts.evidence)), figures[LEAD]
            baselines[name] = measures | marks.measures(text)
        if texts.grounding:
            marked = marks.measures(texts.grounding.generated)
            baselines[GENERATED] = {**figures.get(GENERATED, {}), **marked}
        return results | ({"baselines": baselines} if baselines else {})


def _extract(backend: BatchBackend | CallBackend, texts: VerdictTexts) -> RequestSteps:
    """Return {"evidence"}; "" if the document has no sentence."""
    payload = (texts.query, texts.title, texts.body)
    (reply,) = yield [request(backend, (payload, 0), *payload)]
    return {"evidence": reply.value.get("evidence", "")}


def _grounding_measures(grounding: Grounding, marks: GoldMarks) -> dict[str, Any]:
    """Return origin, cited characters and, with marked sentences, the share of cited sentences that
    people marked."""
    measures: dict[str, Any] = {"origin": grounding.origin, "cited": grounding.cited}
    if marks.rationales and grounding.sources:
        match = rationale_match("\n\n".join(grounding.sources), marks.rationales)
        measures["precision"] = match.precision
    return measures


def _marks(texts: VerdictTexts, gold: Gold | None) -> GoldMarks:
    if gold is None:
        return GoldMarks()
    return marks_of(
        texts.document,
        answers=gold.answers,
        rationales=gold.rationales,
        answerable=gold.answerable,
        answers_here=gold.answers_here,
        rationales_here=gold.rationales_here,
    )


def _shown(texts: VerdictTexts, quality: Mapping[str, Any], gold: Gold | None) -> Row:
    """Return the texts, cut, if something looks wrong; else {}."""
    people = quality.get("people", {})
    wrong_yes = texts.verdict == "yes" and quality.get("gold", {}).get("answerable") is False
    missing = quality.get("evidence", {}).get("missing")
    if not (missing or wrong_yes or people.get("answer_kept") is False):
        return {}
    columns = {"query": texts.query, "evidence": texts.evidence, "document": texts.document}
    shown: Row = {name: text[:SHOWN_CHARACTERS] for name, text in columns.items()}
    if gold and gold.answers:
        shown["answers"] = [text[:SHOWN_CHARACTERS] for text in gold.answers[:3]]
    return {"texts": shown}
