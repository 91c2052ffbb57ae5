"""Distillation: teachers' scores, and contribution and evidence for rows with the verdict yes."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence

from prism_cli.domain.calibration import Calibration, calibrated, raw_mean
from prism_cli.domain.constant_labels import same_answer_warning
from prism_cli.domain.evidence_task import TEMPERATURES
from prism_cli.domain.evidence_text import texts_fault
from prism_cli.domain.fidelity import FidelityFigures, entity_fidelity, fidelity_fault
from prism_cli.domain.score_figures import ScoreFigures
from prism_cli.domain.source_labels import SourceLabelTeacher, SourceTexts
from prism_cli.engine.stage import RowStage
from prism_cli.errors import RowError
from prism_cli.ports import (
    BatchBackend,
    CallBackend,
    Outcome,
    Reply,
    Request,
    RowWork,
    Value,
    request,
)
from prism_cli.rows.fields import SOURCE_TEXTS
from prism_cli.rows.row import Row, check_pair, document_text, scores_field, string_field
from prism_cli.rows.texts import is_blank
from prism_cli.shards.paid_rows import PaidRows, PaidValue, note_origins
from prism_cli.stages.retries import continued, request_with_retries
from prism_cli.stages.silent_judges import Reasons, count_reason, shown_reasons

Backend = BatchBackend | CallBackend
DECIMALS = 6
"""Decimals of teacher_score."""
CALIBRATED = "teacher_score"
_SCORES = "teacher_scores"
_TEXTS = ("contribution", "evidence")
_TAKEN_OVER = "taken over from --reuse"


class DistillStage(RowStage):
    """Writes teacher_scores and teacher_score; contribution, evidence and generator.

    Existing values are kept: a teacher's score is not requested again, nor are texts with content.
    No model is asked about a blank document: its score is 0, and it has no texts.

    Args:
        teachers: each replies {"score"}, or reads it from the row; teacher_score is their
            calibrated mean.
        calibration: calibration of these teachers.
        generator: has payloads ((query, title, document), attempt) and replies {"contribution",
            "evidence"}, or reads them from the row; a refusal becomes generation_error.
        figures: further entries of the summary and the manifest.
        paid: scores and texts that are paid for already; the row's `reused` has their origin. A
            score without a teacher becomes teacher_score where none of these teachers has scored
            the row; texts without a generator are used where this one has written none.
        min_fidelity: share of the evidence's numbers and names that occur in the document, below
            which the answer is retried.
    """

    name = "distill"
    counted = (
        "_scores", "_kept_scores", "_reused_scores", "_texts", "_unwritten", "_labels", "_fidelity",
    )  # fmt: skip

    def __init__(
        self,
        teachers: Sequence[Backend | SourceLabelTeacher] = (),
        calibration: Calibration | None = None,
        generator: Backend | SourceTexts | None = None,
        *,
        figures: Mapping[str, object] | None = None,
        paid: PaidRows | None = None,
        min_fidelity: float | None = None,
    ) -> None:
        self._row_teachers = [item for item in teachers if isinstance(item, SourceLabelTeacher)]
        self._teachers = [item for item in teachers if not isinstance(item, SourceLabelTeacher)]
        self._specs = [teacher.spec for teacher in teachers]
        self._exponent = calibration.exponent if calibration else 1.0
        self._generator = generator
        self._more_figures = dict(figures or {})
        self._scores = {spec: ScoreFigures() for spec in (*self._specs, CALIBRATED)}
        self._paid = paid
        self._kept_scores = self._reused_scores = 0
        self.has_verdicts: bool | None = None
        """True if a row of this run has a verdict; None before the first row."""
        self._texts: Counter[str] = Counter()
        self._unwritten: Reasons = Counter()
        self._labels: dict[str, Counter[str]] = {
            teacher.spec: Counter() for teacher in self._row_teachers
        }
        self._min_fidelity = min_fidelity
        self._fidelity = FidelityFigures()

    def check(self, row: Row) -> None:
        """Check the pair row, and the types of its scores and labels.

        Raises:
            RowError: names the field, such as `teacher_scores.st:minilm`.
        """
        check_pair(row)
        scores = scores_field(row, _SCORES) if self._specs else {}
        for name, score in scores.items():
            if score is None:
                raise RowError(f"{_SCORES}.{name}", "expected a number, found null")
        for teacher in self._row_teachers:
            if teacher.spec not in scores:
                teacher.score(row)
        if self._generator is not None:
            for name in _TEXTS:
                string_field(row, name, required=False)

    def work(self, row: Row) -> Outcome | RowWork:
        """Ask the teachers that have not scored the row, and the generator if texts are needed."""
        existing = row.get("teacher_scores") or {}
        self._kept_scores += sum(spec in existing for spec in self._specs)
        missing = [teacher for teacher in self._teachers if teacher.spec not in existing]
        writes = self._needs_texts(row)
        paid: Mapping[tuple[str, str], PaidValue] = {}
        if self._paid is not None and (missing or writes):
            paid = self._paid.find(row["query"], document_text(row))
        reused = {
            teacher.spec: score
            for teacher in missing
            if (score := paid.get((_SCORES, teacher.spec)))
        }
        asked = [teacher for teacher in missing if teacher.spec not in reused]
        unscored = asked == self._teachers and not self._row_teachers
        anonymous = paid.get((CALIBRATED, "")) if unscored else None
        if anonymous is not None:
            asked = []
        writer = self._generator if writes and not self._reuse_texts(row, paid) else None
        if isinstance(writer, SourceTexts):
            self._take_texts(row, writer)
            writer = None
        blank_scores: dict[str, float] = {}
        if asked and is_blank(document_text(row)):
            asked, blank_scores = [], {teacher.spec: 0.0 for teacher in asked}
        if asked or writer is not None:
            return self._answered(row, asked, writer, reused, anonymous)
        self._finish(row, blank_scores, reused, anonymous)
        return row

    def summary(self) -> dict[str, object]:
        """Return scores by teacher, their agreement with the verdicts, and outcomes of texts."""
        figures = dict(self._more_figures)
        if self._specs:
            figures["scores"] = [
                {"teacher": spec, **scores.row()} for spec, scores in self._scores.items()
            ]
            figures[f"{CALIBRATED} from"] = self._scores[CALIBRATED].histogram()
            if self._kept_scores:
                figures["scores already there, kept"] = self._kept_scores
            if self._paid is not None:
                figures["scores taken over from --reuse"] = self._reused_scores
        if warning := same_answer_warning(self._labels):
            figures["warning"] = warning
        if self._generator is not None:
            names = ["written", "already there, kept", "not written", "verdict not yes"]
            if self._paid is not None:
                names.insert(1, _TAKEN_OVER)
            figures["texts"] = {name: self._texts[name] for name in names}
            if self._unwritten:
                figures["why texts were not written"] = shown_reasons(self._unwritten, "generator")
            if self._texts["written"]:
                figures["entities of the evidence written"] = self._fidelity.rows()
        return figures

    def _answered(
        self,
        row: Row,
        asked: Sequence[Backend],
        writer: Backend | None,
        reused: Mapping[str, PaidValue],
        anonymous: PaidValue | None,
    ) -> RowWork:
        requests: list[Request] = []
        if asked:
            pair = (row["query"], document_text(row))
            requests += [request(teacher, pair, *pair) for teacher in asked]
        writing = None if writer is None else self._writing(row, writer)
        if writing is not None:
            requests += next(writing)
        replies = yield requests
        scores: dict[str, float] = {}
        for teacher, reply in zip(asked, replies, strict=False):
            if reply.refusal is not None:
                raise RowError("document", f"{teacher.spec} gave no score: {reply.refusal}")
            scores[teacher.spec] = reply.value["score"]
        if writing is not None:
            yield from continued(writing, replies[-1:])
        self._finish(row, scores, reused, anonymous)
        return row

    def _finish(
        self,
        row: Row,
        replied: Mapping[str, float],
        reused: Mapping[str, PaidValue],
        anonymous: PaidValue | None,
    ) -> None:
        if not self._specs:
            return
        if anonymous is not None:
            self._reused_scores += 1
            row[CALIBRATED] = anonymous.value
            note_origins(row, {CALIBRATED: anonymous.origin})
            self._scores[CALIBRATED].add(anonymous.value, row.get("verdict"))
            return
        self._reused_scores += len(reused)
        existing = row.get("teacher_scores") or {}
        new = {**{spec: value.value for spec, value in reused.items()}, **replied}
        new |= {
            teacher.spec: teacher.score(row)
            for teacher in self._row_teachers
            if teacher.spec not in existing
        }
        scores = existing | {spec: new[spec] for spec in self._specs if spec in new}
        row["teacher_scores"] = scores
        exact = calibrated(raw_mean(scores, self._specs), self._exponent)
        row[CALIBRATED] = round(exact, DECIMALS)
        note_origins(
            row, {f"teacher_scores.{spec}": value.origin for spec, value in reused.items()}
        )
        verdict = row.get("verdict")
        for spec, counts in self._labels.items():
            counts[f"{scores[spec]:g}"] += 1
        for spec in self._specs:
            self._scores[spec].add(scores[spec], verdict)
        self._scores[CALIBRATED].add(row[CALIBRATED], verdict, exact)

    def _needs_texts(self, row: Row) -> bool:
        if self._generator is None:
            return False
        self.has_verdicts = bool(self.has_verdicts) or row.get("verdict") is not None
        if row.get("verdict") != "yes":
            self._texts["verdict not yes"] += 1
            return False
        if texts_fault(row.get("contribution") or "", row.get("evidence") or "") is None:
            self._texts["already there, kept"] += 1
            return False
        if is_blank(document_text(row)):
            self._not_written(row, "a blank document")
            return False
        return True

    def _reuse_texts(self, row: Row, paid: Mapping[tuple[str, str], PaidValue]) -> bool:
        """Copy paid texts of this generator, or of none, to the row; return False without any."""
        assert self._generator is not None
        name = self._generator.spec if ("texts", self._generator.spec) in paid else ""
        texts = paid.get(("texts", name))
        if texts is None or texts_fault(*texts.value) or self._fidelity_fault(row, texts.value[1]):
            return False
        self._texts[_TAKEN_OVER] += 1
        self._put_texts(row, dict(zip(_TEXTS, texts.value, strict=True)), name)
        note_origins(row, {"texts": texts.origin})
        return True

    def _writing(
        self, row: Row, writer: Backend
    ) -> Generator[Sequence[Request], Sequence[Reply], None]:
        """Ask the generator, with retries of unusable answers, and write its texts."""
        # The title is not a sentence of the document, so it is a separate text.
        texts = (row["query"], row.get("title") or "", row["document"])
        reply = yield from request_with_retries(
            writer,
            texts,
            *texts,
            attempts=len(TEMPERATURES),
            fault=lambda value: self._fidelity_fault(row, value["evidence"]),
        )
        if reply.refusal is not None:
            self._not_written(row, reply.refusal)
        else:
            self._written(row, reply.value, writer.spec)

    def _take_texts(self, row: Row, writer: SourceTexts) -> None:
        """Write the row's own texts, if they are a valid label."""
        texts = writer.texts(row)
        fault = texts_fault(**texts) or self._fidelity_fault(row, texts["evidence"])
        if fault is not None:
            self._not_written(row, f"its own texts ({', '.join(SOURCE_TEXTS)}): {fault}")
        else:
            self._written(row, texts, writer.spec)

    def _written(self, row: Row, texts: Value, writer: str) -> None:
        self._texts["written"] += 1
        self._fidelity.add(entity_fidelity(texts["evidence"], document_text(row)))
        self._put_texts(row, texts, writer)

    def _not_written(self, row: Row, reason: str) -> None:
        assert self._generator is not None
        self._texts["not written"] += 1
        count_reason(self._unwritten, self._generator.spec, reason)
        row["generator"] = self._generator.spec
        row["generation_error"] = reason

    def _put_texts(self, row: Row, texts: Value, generator: str) -> None:
        if generator:
            row["generator"] = generator
        else:
            row.pop("generator", None)
        row.pop("generation_error", None)  # of an earlier attempt
        for name in _TEXTS:
            row[name] = texts[name]

    def _fidelity_fault(self, row: Row, evidence: str) -> str | None:
        return fidelity_fault(evidence, document_text(row), self._min_fidelity)
