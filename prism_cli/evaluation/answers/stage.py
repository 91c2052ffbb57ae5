"""Answers stage: a reader answers each query from documents, evidence and other texts."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, ClassVar

from prism_cli.domain.reading_task import Reading
from prism_cli.domain.squad_tokens import squad_scores
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.engine.stage import ForecastRequests, RowStage
from prism_cli.evaluation.answers.contexts import FROM_TEXTS, NOTHING
from prism_cli.evaluation.answers.survey import AnswersSurvey, group_key
from prism_cli.evaluation.quality.gold_rows import GoldRows, QueryGold
from prism_cli.evaluation.quality.stage import SHOWN_CHARACTERS
from prism_cli.ports import BatchBackend, CallBackend, GroupWork, Outcome, Reply, Request, request
from prism_cli.rows.order import best_first
from prism_cli.rows.results import pairs_of
from prism_cli.rows.row import Dropped, Row, query_id
from prism_cli.rows.verdict_texts import VerdictTexts, check_verdict_texts, read_verdict_texts
from prism_cli.stages.retries import gather, request_with_retries

UNMARKED = "no answer by people, nor that there is none"
Steps = Generator[Sequence[Request], Sequence[Reply], Any]
Price = Callable[[int, int], float]
"""Returns US dollars for tokens read and written."""


class AnswersStage(RowStage):
    """Writes query_id, query and `answers` of each query that people marked.

    Adjacent pair rows of a query are read together.

    Args:
        reader: a chat model with ReadingTask; payloads are (Reading, attempt).
        gold: people's marks.
        contexts: some of CONTEXTS.
        documents: most documents of a query.
        any_verdict: read the best documents whatever their verdict, not those with a yes alone.
        source: whose verdicts and texts; one of SOURCES of `rows.verdict_texts`.
        closest: selects the sentences of the context `closest`.
        price: None where it is unknown.
    """

    name: ClassVar[str] = "answers"
    counted = ("_counts",)
    groups = True
    ranks_queries = True

    def __init__(
        self,
        reader: BatchBackend | CallBackend,
        gold: GoldRows,
        contexts: Sequence[str],
        *,
        documents: int = 3,
        any_verdict: bool = False,
        source: str = "auto",
        closest: BatchBackend | CallBackend | None = None,
        price: Price | None = None,
    ) -> None:
        self._reader = reader
        self.survey = AnswersSurvey(gold, contexts, source)
        self._gold = gold
        self._contexts = contexts
        self._documents = documents
        self._any_verdict = any_verdict
        self._source = source
        self._closest = closest
        self._price = price
        self._counts: Counter[str] = Counter()

    def check(self, row: Row) -> None:
        """A pair, or a query with documents and results, with a prediction or a label.

        Raises:
            RowError: names the field.
        """
        check_verdict_texts(row, self._source)

    def group_of(self, row: Row) -> bytes:
        """Return the query key of a pair row; empty for a query with documents."""
        return group_key(row)

    def work_group(self, rows: list[Row]) -> GroupWork:
        """Answer a query from all contexts; the first row gets the outcome."""
        gold = self._gold.of_query(query_id(rows[0]))
        if gold is None or (gold.answerable and not gold.answers):
            self._counts["queries without marks"] += 1
            return [Dropped(UNMARKED)] * len(rows)
        self._counts["queries"] += 1
        pairs = self._ranked(rows)
        chosen = self._chosen(pairs)
        works = [self._answer(name, rows[0]["query"], chosen) for name in self._contexts]
        answers = yield from gather(works)
        contexts: dict[str, Any] = {
            name: _measured(answer, gold)
            for name, answer in zip(self._contexts, answers, strict=True)
        }
        row: Row = {
            "query_id": query_id(rows[0]),
            "query": rows[0]["query"],
            "answers": {
                "answerable": gold.answerable,
                "gold": list(gold.answers),
                "candidates": len(pairs),
                "documents": [texts.doc_id for texts in chosen],
                "contexts": contexts,
            },
        }
        if any(texts.evidence for texts in chosen):
            joined = "\n\n".join(texts.evidence for texts in chosen if texts.evidence)
            row["evidence"] = joined[:SHOWN_CHARACTERS]
        outcomes: list[Outcome] = [row, *([] for _ in rows[1:])]
        return outcomes

    def forecast_group(self, rows: list[Row]) -> ForecastRequests:
        """Yield the questions to the reader; `closest` counts as `lead`, which has its length."""
        gold = self._gold.of_query(query_id(rows[0]))
        if gold is None or (gold.answerable and not gold.answers):
            return
        chosen = self._chosen(self._ranked(rows))
        for name in self._contexts:
            texts = _texts("lead" if name == "closest" else name, chosen)
            if texts or name == NOTHING:
                reading = Reading(rows[0]["query"], texts)
                yield request(self._reader, (reading, 0), reading.query, *texts), 1.0

    def summary(self) -> dict[str, object]:
        """Return the counts of queries, and the reader."""
        return {"reader": self._reader.spec, **dict(sorted(self._counts.items()))}

    def _ranked(self, rows: Sequence[Row]) -> list[VerdictTexts]:
        """Return the pairs of a query, best first."""
        if "documents" in rows[0]:
            pairs = pairs_of(rows[0])
        else:
            own = all("predicted_verdict" in row for row in rows)
            pairs = best_first(rows, _score, own=own)
        return [read_verdict_texts(pair, self._source) for pair in pairs]

    def _chosen(self, pairs: Sequence[VerdictTexts]) -> list[VerdictTexts]:
        usable = [pair for pair in pairs if self._any_verdict or pair.verdict == "yes"]
        return usable[: self._documents]

    def _answer(self, name: str, query: str, chosen: Sequence[VerdictTexts]) -> Steps:
        """Return {"reply", "tokens_read", …} of a context; a context without a text gets no answer
        without being asked."""
        if name == "closest":
            texts = yield from self._closest_texts(chosen)
        else:
            texts = _texts(name, chosen)
        if not texts and name != NOTHING:
            unasked = {"reply": "", "tokens_read": 0, "tokens_written": 0, "asked": False}
            return unasked | ({} if self._price is None else {"usd": 0.0})
        reading = Reading(query, texts)
        reply = yield from request_with_retries(self._reader, reading, query, *texts)
        answer = reply.value.get("answer", "")
        measured: dict[str, Any] = {
            "reply": answer,
            "tokens_read": reading.tokens,
            "tokens_written": estimate_tokens(answer),
        }
        if self._price is not None:
            prompt = reading.prompt_tokens
            measured["usd"] = round(self._price(prompt, measured["tokens_written"]), 9)
        if reading.cut:
            measured["cut"] = True
        return measured | ({"refusal": reply.refusal} if reply.refusal is not None else {})

    def _closest_texts(self, chosen: Sequence[VerdictTexts]) -> Steps:
        """Return the closest sentences of each document with evidence, within its length."""
        assert self._closest is not None
        requests = [
            request(
                self._closest,
                ((texts.query, len(texts.evidence), texts.body), 0),
                texts.query,
                str(len(texts.evidence)),
                texts.body,
            )
            for texts in chosen
            if texts.evidence
        ]
        replies = (yield requests) if requests else ()
        return tuple(filter(None, (reply.value.get("evidence", "") for reply in replies)))


def _texts(name: str, chosen: Sequence[VerdictTexts]) -> tuple[str, ...]:
    """Return the texts of a context, without blank ones."""
    texts = (FROM_TEXTS[name](pair) for pair in chosen) if name in FROM_TEXTS else ()
    return tuple(text for text in texts if text.strip())


def _score(row: Row) -> float:
    score = row.get("score", row.get("teacher_score"))
    return float(score) if isinstance(score, int | float) else 0.0


def _measured(answer: Mapping[str, Any], gold: QueryGold) -> dict[str, Any]:
    """Return the answer with its measures: those of SQuAD where there is an answer, else whether
    the reply is "no answer"; an answer that could not be used is neither."""
    is_none = not answer["reply"] and "refusal" not in answer
    if not gold.answerable:
        return {**answer, "no_answer": is_none}
    return {**answer, "no_answer": is_none, **squad_scores(answer["reply"], gold.answers)}
