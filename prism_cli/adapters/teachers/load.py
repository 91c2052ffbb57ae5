"""A teacher from its spec."""

from prism_cli.adapters.teachers.bi_encoder import BiEncoderTeacher, TextEncoder
from prism_cli.adapters.teachers.cross_encoder import CrossEncoderTeacher
from prism_cli.adapters.teachers.st_files import BI_ENCODER, st_kind, st_path
from prism_cli.errors import PrerequisiteError, UsageError

_PAID = ("voyage/", "cohere/", "jina/", "openrouter/", "bailian/", "deepseek/")

Teacher = BiEncoderTeacher | CrossEncoderTeacher


def load_teacher(spec: str, device: str = "auto") -> Teacher:
    """The teacher of `spec`; its files are looked at now, its weights loaded when asked.

    Raises:
        UsageError: no such kind of spec.
        PrerequisiteError: a teacher behind a provider, which this version does not have.
        ModelError: no such model, or neither a bi-encoder nor a cross-encoder.
    """
    if spec.startswith(_PAID):
        raise PrerequisiteError(
            f"{spec}: this version has local teachers only; no row was scored and nothing was "
            "paid. `--teacher st:minilm`, st:PATH and st:HUB_ID need no key"
        )
    if not spec.startswith("st:"):
        hint = f"; did you mean st:{spec}?" if "/" in spec and ":" not in spec else ""
        raise UsageError(f"{spec}: no such teacher; expected st:minilm, st:PATH or st:HUB_ID{hint}")
    path = st_path(spec)
    if st_kind(spec, path) == BI_ENCODER:
        return BiEncoderTeacher(TextEncoder(spec, path, device))
    return CrossEncoderTeacher(spec, path, device)
