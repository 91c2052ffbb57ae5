"""Loading of local judges: a chat model's probability of yes, or a teacher's score."""

from typing import TYPE_CHECKING

from prism_cli.domain.scoring import BOUNDARY
from prism_cli.errors import UsageError
from prism_cli.rows.number import number_in

if TYPE_CHECKING:
    from prism_cli.domain.rubric import JudgeTask
    from prism_cli.ports import BatchBackend


def load_local_judge(spec: str, task: "JudgeTask") -> "BatchBackend":
    """Load the judge of `hf:PATH`, `st:PATH` or `st:PATH:THRESHOLD`.

    Args:
        task: prompt of chat models; teachers do not use it.

    Raises:
        UsageError: the threshold is not in [0, 1).
        ModelError: there is no such model, or it cannot judge.
    """
    if spec.startswith("hf:"):
        from prism_cli.adapters.chat.local_model import LocalModel
        from prism_cli.adapters.judges.local_judge import LocalJudge

        return LocalJudge(LocalModel(spec), task)
    from prism_cli.adapters.judges.teacher_judge import TeacherJudge
    from prism_cli.adapters.teachers.load import load_teacher

    teacher, threshold = _split(spec)
    return TeacherJudge(spec, load_teacher(teacher), threshold)


def _split(spec: str) -> tuple[str, float]:
    """Split `st:PATH:THRESHOLD` into teacher and threshold."""
    teacher, _, tail = spec.rpartition(":")
    threshold = number_in(tail)
    if threshold is None or teacher == "st":
        return spec, BOUNDARY
    if not 0 <= threshold < 1:
        raise UsageError(f"{spec}: expected a threshold from 0 to below 1, found {tail}")
    return teacher, threshold
