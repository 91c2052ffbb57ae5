"""Loading of local teachers."""

from prism_cli.adapters.teachers.bi_encoder import BiEncoderTeacher, TextEncoder
from prism_cli.adapters.teachers.cross_encoder import CrossEncoderTeacher
from prism_cli.adapters.teachers.st_files import BI_ENCODER, st_kind, st_path
from prism_cli.errors import UsageError

Teacher = BiEncoderTeacher | CrossEncoderTeacher


def load_teacher(spec: str, device: str = "auto") -> Teacher:
    """Return the teacher of `spec`; checks its files now and loads its weights on first use.

    Raises:
        UsageError: `spec` is not of the form st:….
        ModelError: there is no such model, or it is neither a bi-encoder nor a cross-encoder.
    """
    if not spec.startswith("st:"):
        raise UsageError(f"{spec}: no such teacher; expected st:minilm, st:PATH or st:HUB_ID")
    path = st_path(spec)
    if st_kind(spec, path) == BI_ENCODER:
        return BiEncoderTeacher(TextEncoder(spec, path, device))
    return CrossEncoderTeacher(spec, path, device)
