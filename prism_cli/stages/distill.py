"""Teachers' scores, and contribution and evidence for rows with the verdict yes."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence

from prism_cli.domain.calibration import Calibration, calibrated, raw_mean
from prism_cli.domain.evidence_task import TEMPERATURES
from prism_cli.domain.evidence_text import texts_fault
from prism_cli.domain.fidelity import FidelityFigures, entity_fidelity
from prism_cli.domain.label_answers import same_answer_warning
from prism_cli.domain.score_figures import ScoreFigures
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
from prism_cli.rows.row import (
    Row,
    check_pair,
    document_text,
    json_type,
    scores_field,
    string_field,
)
from prism_cli.rows.texts import is_blank
from prism_cli.shards.paid_rows import PaidRows, PaidValue, note_origins
from prism_cli.stages.asking import asked_again
from prism_cli.stages.in_row import RowGenerator, RowTeacher

Backend = BatchBackend | CallBackend


DECIMALS = 6
"""Of teacher_score."""
CALIBRATED = "teacher_score"
_SCORES = "teacher_scores"
_TEXTS = ("contribution", "evidence")
_TAKEN_OVER = "taken over from --reuse"
_SHOWN_ENTITIES = 5


class DistillStage(RowStage):
    """Writes teacher_scores and teacher_score; contribution, evidence and generator.

    What a row has already is kept: a teacher's score is not asked again, nor are texts that say
    something. Nobody is asked about a blank document: its score is 0, and it has no texts.

    Args:
        teachers: each answers {"score"}, or finds it in the row; teacher_score is the calibrated
            mean over these.
        calibration: of these teachers.
        generator: has payloads ((query, title, document), attempt) and answers {"contribution",
            "evidence"}, or finds them in the row; a refusal becomes generation_error.
        figures: what summary and manifest tell besides counts.
        paid: scores and texts that are paid for already; the row's `reused` says where they come
            from. A score that names no teacher is taken as teacher_score where none of these
            teachers has scored, texts that name no generator where this one has written none.
        min_fidelity: share of the evidence's numbers and names that stand in the document, below
            which another answer is asked for.
    """

    name = "distill"
    counted = ("_scores", "_kept_scores", "_reused_scores", "_texts", "_labels", "_fidelity")

    def __init__(
        self,
        teachers: Sequence[Backend | RowTeacher] = (),
        calibration: Calibration | None = None,
        generator: Backend | RowGenerator | None = None,
        *,
        figures: Mapping[str, object] | None = None,
        paid: PaidRows | None = None,
        min_fidelity: float | None = None,
    ) -> None:
        self._teachers = [one for one in teachers if not isinstance(one, RowTeacher)]
        self._in_row = [one for one in teachers if isinstance(one, RowTeacher)]
        self._specs = [one.spec for one in teachers]
        self._exponent = calibration.exponent if calibration else 1.0
        self._generator = generator
        self._told = dict(figures or {})
        self._scores = {spec: ScoreFigures() for spec in (*self._specs, CALIBRATED)}
        self._paid = paid
        self._kept_scores = 0
        self._reused_scores = 0
        self.has_verdicts: bool | None = None
        """Whether a row of this run has a verdict; None before the first row."""
        self._texts: Counter[str] = Counter()
        self._labels: dict[str, Counter[str]] = {one.spec: Counter() for one in self._in_row}
        self._min_fidelity = min_fidelity
        self._fidelity = FidelityFigures()

    def check(self, row: Row) -> None:
        """A pair row; scores and labels of the right type where they stand.

        Raises:
            RowError: names the field, such as `teacher_scores.st:minilm`.
        """
        check_pair(row)
        if row.get("verdict") not in ("yes", "no", None):
            raise RowError(
                "verdict", f'expected "yes", "no" or null, found {json_type(row["verdict"])}'
            )
        scores = scores_field(row, _SCORES) if self._specs else {}
        for name, score in scores.items():
            if score is None:
                raise RowError(f"{_SCORES}.{name}", "expected a number, found null")
        for one in self._in_row:
            if one.spec not in scores:
                one.score(row)
        if self._generator is not None:
            for name in _TEXTS:
                string_field(row, name, required=False)

    def work(self, row: Row) -> Outcome | RowWork:
        """Ask the teachers that have not scored the row, and the generator where it is to write."""
        known = row.get("teacher_scores") or {}
        self._kept_scores += sum(spec in known for spec in self._specs)
        missing = [one for one in self._teachers if one.spec not in known]
        writes = self._writes(row)
        paid: Mapping[tuple[str, str], PaidValue] = {}
        if self._paid is not None and (missing or writes):
            paid = self._paid.find(row["query"], document_text(row))
        reused = {one.spec: score for one in missing if (score := paid.get((_SCORES, one.spec)))}
        asked = [one for one in missing if one.spec not in reused]
        unscored = asked == self._teachers and not self._in_row
        nobodys = paid.get((CALIBRATED, "")) if unscored else None
        if nobodys is not None:
            asked = []
        writer = self._generator if writes and not self._takes_over_texts(row, paid) else None
        if isinstance(writer, RowGenerator):
            self._take_texts(row, writer)
            writer = None
        unasked: dict[str, float] = {}
        if asked and is_blank(document_text(row)):
            asked, unasked = [], {one.spec: 0.0 for one in asked}
        if asked or writer is not None:
            return self._answered(row, asked, writer, reused, nobodys)
        self._finish(row, unasked, reused, nobodys)
        return row

    def summary(self) -> dict[str, object]:
        """Scores by teacher, with how far they go with the verdicts, and what became of texts."""
        figures = dict(self._told)
        if self._specs:
            figures["scores"] = [
                {"teacher": spec, **one.row()} for spec, one in self._scores.items()
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
            if self._texts["written"]:
                figures["entities of the evidence written"] = self._fidelity.rows()
        return figures

    def _answered(
        self,
        row: Row,
        asked: Sequence[Backend],
        writer: Backend | None,
        reused: Mapping[str, PaidValue],
        nobodys: PaidValue | None,
    ) -> RowWork:
        requests: list[Request] = []
        if asked:
            text = document_text(row)
            pair = (row["query"], text)
            requests += [request(one, pair, *pair) for one in asked]
        writing = None if writer is None else self._writing(row, writer)
        if writing is not None:
            requests += next(writing)
        replies = yield requests
        found: dict[str, float] = {}
        for teacher, reply in zip(asked, replies, strict=False):
            if reply.refusal is not None:
                raise RowError("document", f"{teacher.spec} gave no score: {reply.refusal}")
            found[teacher.spec] = reply.value["score"]
        if writing is not None:
            yield from _continued(writing, replies[-1:])
        self._finish(row, found, reused, nobodys)
        return row

    def _finish(
        self,
        row: Row,
        found: Mapping[str, float],
        reused: Mapping[str, PaidValue],
        nobodys: PaidValue | None,
    ) -> None:
        if not self._specs:
            return
        if nobodys is not None:
            self._reused_scores += 1
            row[CALIBRATED] = nobodys.value
            note_origins(row, {CALIBRATED: nobodys.origin})
            self._scores[CALIBRATED].add(nobodys.value, row.get("verdict"))
            return
        self._reused_scores += len(reused)
        known = row.get("teacher_scores") or {}
        new = {**{spec: one.value for spec, one in reused.items()}, **found}
        new |= {one.spec: one.score(row) for one in self._in_row if one.spec not in known}
        scores = known | {spec: new[spec] for spec in self._specs if spec in new}
        raw = raw_mean(scores, self._specs)
        row["teacher_scores"] = scores
        exact = calibrated(raw, self._exponent)
        row[CALIBRATED] = round(exact, DECIMALS)
        note_origins(row, {f"teacher_scores.{spec}": one.origin for spec, one in reused.items()})
        verdict = row.get("verdict")
        for spec, found_labels in self._labels.items():
            found_labels[f"{scores[spec]:g}"] += 1
        for spec in self._specs:
            self._scores[spec].add(scores[spec], verdict)
        self._scores[CALIBRATED].add(row[CALIBRATED], verdict, exact)

    def _writes(self, row: Row) -> bool:
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

    def _takes_over_texts(self, row: Row, paid: Mapping[tuple[str, str], PaidValue]) -> bool:
        """Whether the same generator's texts are paid for, or nobody's; then the row has them."""
        assert self._generator is not None
        name = self._generator.spec if ("texts", self._generator.spec) in paid else ""
        texts = paid.get(("texts", name))
        if texts is None or texts_fault(*texts.value) or self._unfaithful(row, texts.value[1]):
            return False
        self._texts[_TAKEN_OVER] += 1
        self._put_texts(row, dict(zip(_TEXTS, texts.value, strict=True)), name)
        note_origins(row, {"texts": texts.origin})
        return True

    def _writing(
        self, row: Row, writer: Backend
    ) -> Generator[Sequence[Request], Sequence[Reply], None]:
        """Ask the generator, again where its answer cannot be used, and write what it says."""
        # The title is no sentence of the document, so it stands apart.
        texts = (row["query"], row.get("title") or "", row["document"])
        reply = yield from asked_again(
            writer,
            texts,
            *texts,
            attempts=len(TEMPERATURES),
            fault=lambda value: self._unfaithful(row, value["evidence"]),
        )
        if reply.refusal is not None:
            self._not_written(row, reply.refusal)
        else:
            self._written(row, reply.value, writer.spec)

    def _take_texts(self, row: Row, writer: RowGenerator) -> None:
        """Write the row's own texts, where they are a label."""
        texts = writer.texts(row)
        fault = texts_fault(**texts) or self._unfaithful(row, texts["evidence"])
        if fault is not None:
            self._not_written(row, f"its own texts: {fault}")
        else:
            self._written(row, texts, writer.spec)

    def _written(self, row: Row, texts: Value, writer: str) -> None:
        self._texts["written"] += 1
        self._fidelity.add(entity_fidelity(texts["evidence"], document_text(row)))
        self._put_texts(row, texts, writer)

    def _not_written(self, row: Row, why: str) -> None:
        assert self._generator is not None
        self._texts["not written"] += 1
        row["generator"] = self._generator.spec
        row["generation_error"] = why

    def _put_texts(self, row: Row, texts: Value, generator: str) -> None:
        if generator:
            row["generator"] = generator
        else:
            row.pop("generator", None)
        row.pop("generation_error", None)  # of an earlier attempt
        for name in _TEXTS:
            row[name] = texts[name]

    def _unfaithful(self, row: Row, evidence: str) -> str | None:
        """What is wrong with evidence below the share of entities asked for."""
        if self._min_fidelity is None:
            return None
        found = entity_fidelity(evidence, document_text(row))
        if found.share is None or found.share >= self._min_fidelity:
            return None
        return (
            f"fidelity {found.share:.2f} below {self._min_fidelity:g}, not in the document: "
            + ", ".join(found.missing[:_SHOWN_ENTITIES])
        )


def _continued(
    work: Generator[Sequence[Request], Sequence[Reply], None], replies: Sequence[Reply]
) -> Generator[Sequence[Request], Sequence[Reply], None]:
    """The rest of `work`, whose first requests are answered by `replies`."""
    try:
        while True:
            replies = yield work.send(replies)
    except StopIteration:
        return
