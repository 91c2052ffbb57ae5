"""Types of the fields of the row contract for labels, predictions and provenance.

`check_pair` checks query, document, title, ids, verdict and teacher_score.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from prism_cli.errors import RowError
from prism_cli.rows.fields import SOURCE_TEXTS
from prism_cli.rows.row import Row, json_type, scores_field, votes_field

Check = Callable[[Any], bool]
_ENDS = ("start", "end", "source_start", "source_end")


def check_contract(row: Row) -> None:
    """Check the other fields of a pair row against the contract. All of them are optional; null
    means absent.

    Raises:
        RowError: names the field, such as `votes.source`.
    """
    check_kinds(row, _KINDS)
    if "votes" in row:
        votes_field(row)
    for name in ("teacher_scores", "vote_probabilities"):
        if name in row:
            scores_field(row, name)


def check_kinds(row: Row, names: Collection[str]) -> None:
    """Check the types of those of the fields that `row` and the contract have.

    Raises:
        RowError: names the field.
    """
    for name in names:
        if name not in _KINDS or (value := row.get(name)) is None:
            continue
        expected, check = _KINDS[name]
        if not check(value):
            raise RowError(name, f"expected {expected} or null, found {json_type(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == int(value)


def _are_objectives(value: Any) -> bool:
    return isinstance(value, list) and all(objective in ("pointwise", "sft") for objective in value)


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(at) is int for at in value)


def _are_ranges(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_range, value))


def _are_citations(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and one.get("field") in ("document", "title")
        and all(type(one.get(name)) is int for name in _ENDS)
        for one in value
    )


def _of(kind: type) -> Check:
    return lambda value: isinstance(value, kind)


def _kinds(expected: str, check: Check, *names: str) -> dict[str, tuple[str, Check]]:
    return dict.fromkeys(names, (expected, check))


_KINDS: Mapping[str, tuple[str, Check]] = {
    **_kinds(
        "a string", _of(str), "source", "split", "query_style", "contribution", "evidence",
        *SOURCE_TEXTS,
        "generator", "generation_error", "predicted_contribution", "predicted_evidence", "model",
        "evidence_generated", "evidence_origin", "contribution_generated", "evidence_omitted",
        "repeats",
    ),
    **_kinds(
        "a number", _is_number, "score", "logit", "fused_score", "agreement", "posterior",
        "teacher_prior", "audit_share",
    ),
    **_kinds(
        "a whole number", _is_integer, "rank", "votes_cast", "early_votes_cast", "windows"
    ),
    **_kinds("true, false", _of(bool), "audit", "format_ok", "truncated"),
    **_kinds(
        '"yes", "no"', lambda value: value in ("yes", "no"), "predicted_verdict", "early_verdict"
    ),
    **_kinds('an array of "pointwise", "sft"', _are_objectives, "objectives"),
    **_kinds("[start, end]", _is_range, "best_window"),
    **_kinds("an array of [start, end]", _are_ranges, "unsupported", "contribution_unsupported"),
    **_kinds(
        f"an array of objects with field (document, title), {', '.join(_ENDS)}", _are_citations,
        "predicted_citations", "predicted_contribution_citations",
    ),
}  # fmt: skip
