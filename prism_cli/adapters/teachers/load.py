"""A teacher of this process from its spec."""

from prism_cli.adapters.teachers.bi_encoder import BiEncoderTeacher, TextEncoder
from prism_cli.adapters.teachers.cross_encoder import CrossEncoderTeacher
from prism_cli.adapters.teachers.st_files import BI_ENCODER, st_kind, st_path
from prism_cli.errors import UsageError

Teacher = BiEncoderTeacher | CrossEncoderTeacher


def load_teacher(spec: str, device: str = "auto") -> Teacher:
    """The teacher of `spec`; its files are looked at now, its weights loaded when asked.

    Raises:
        UsageError: no such kind of spec.
        ModelError: no such model, or neither a bi-encoder nor a cross-encoder.
    """
    if not spec.startswith("st:"):
        raise UsageError(f"{spec}: no such teacher; expected st:minilm, st:PATH or st:HUB_ID")
    path = st_path(spec)
    if st_kind(spec, path) == BI_ENCODER:
        return BiEncoderTeacher(TextEncoder(spec, path, device))
    return CrossEncoderTeacher(spec, path, device)
