"""The limit on rejected rows, --max-rejects."""

DEFAULT_MAX_REJECTS = 0.01
"""Share of the rows."""


def too_many_rejects(rejected: int, rows: int, max_rejects: float) -> bool:
    """Return whether more than the share `max_rejects` of `rows` was rejected."""
    # Not `rejected > max_rejects * rows`: .29 * 100 is less than 29.
    return rows > 0 and rejected / rows > max_rejects
