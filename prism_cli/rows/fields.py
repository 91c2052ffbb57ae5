"""Fields that prism knows, of pair rows and of the shapes that it reads; see `prism help rows`."""

import json
import shlex
from collections.abc import Iterable, Mapping

from prism_cli.wording import most_similar

MARKED = "marked"
"""Value of `negative` for a document that the authors of a corpus marked as not answering."""
SOURCE_TEXTS = ("source_contribution", "source_evidence")
"""The corpus's own contribution and evidence of a pair, like `source_label`."""
TEXTS = (
    "query", "document", "title", "query_id", "doc_id", "source", "split", "source_label",
    "instruction", "language", "original_query", "query_style", "verdict", "stop",
    "early_verdict", "contribution",
    "evidence", *SOURCE_TEXTS, "generator", "generation_error", "model", "predicted_verdict",
    "predicted_contribution", "predicted_evidence", "evidence_omitted", "evidence_origin",
    "evidence_generated", "contribution_generated", "negative", "url",
    "anchor", "positive", "sentence1", "sentence2", "label", "loss_type", "annotated_label",
)  # fmt: skip
INTEGERS = ("rank", "source_rank", "votes_cast", "early_votes_cast")
NUMBERS = (
    "teacher_score", "score", "logit", "agreement", "source_score", "relevance_score",
    "revised_score", "fused_score", "posterior", "teacher_prior", "audit_share",
)  # fmt: skip
BOOLEANS = ("audit", "format_ok", "truncated", "answerable")
OBJECTS_AND_LISTS = (
    "teacher_scores", "votes", "vote_probabilities", "reused", "objectives", "documents",
    "results", "windows", "best_window", "unsupported", "contribution_unsupported",
    "predicted_citations", "predicted_contribution_citations", "answers", "rationales",
    "pos_scores", "neg_scores", "pos_id", "neg_id", "pos_ids", "neg_ids", "abstained",
)  # fmt: skip
LISTS_OR_TEXTS = ("pos", "neg")
FIELDS = (*TEXTS, *INTEGERS, *NUMBERS, *BOOLEANS, *OBJECTS_AND_LISTS, *LISTS_OR_TEXTS)

_OTHER_NAMES = {
    "query": ("question", "questions", "queries", "q", "search_query", "prompt", "anchor"),
    "document": ("passage", "text", "content", "body", "doc", "context", "paragraph", "chunk"),
    "doc_id": ("docid", "_id", "pid", "passage_id", "document_id", "did"),
    "query_id": ("qid", "queryid", "question_id"),
}
"""Names of the same fields in other data sets, the likeliest first."""
_MOST_SHOWN = 12
TAKEN_AS_HEADER = (
    "The file's first line was taken as the header; where it is a row or a title, put the names of "
    "the columns in its place or above it, such as query,document"
)


def absent(name: str, names: Iterable[str]) -> str:
    """Return the rest of "found …": the field `name` is missing, the existing fields, and the
    --field options that map `query` and `document`."""
    existing = list(names)
    shown = [field[:40] for field in existing[:_MOST_SHOWN]] + ["…"] * (len(existing) > _MOST_SHOWN)
    message = f"no such field; there is {', '.join(shown)}" if existing else "no such field"
    missing = [field for field in ("query", "document") if field not in existing]
    likely = {field: column for field in missing if (column := likely_name(field, existing))}
    if name not in likely:
        return message + _nested(names)
    words = [word for field, column in likely.items() for word in ("--field", f"{field}={column}")]
    options = shlex.join(words)
    return f"{message}: {options} {'names it' if len(likely) == 1 else 'names them'}"


def is_header(names: Iterable[str]) -> bool:
    """Return whether one of the names is, or seems to be, that of a field."""
    existing = list(names)
    return any(name in FIELDS for name in existing) or any(
        likely_name(field, existing) for field in _OTHER_NAMES
    )


def by_column(row: Mapping[str, object]) -> str:
    """Return a remedy where a row's values are lists or objects, as in a table that is written
    column by column; "" for others."""
    kinds = {type(value) for value in row.values()}
    if len(row) > 1 and kinds in ({list}, {dict}):
        return (
            ": a table by columns? One object a row is expected, as pandas' "
            "`to_json(OUT, orient='records', lines=True)` writes them"
        )
    return ""


def _nested(names: Iterable[str]) -> str:
    """Return how to extract rows that seem to be nested in the row; "" for none."""
    fields = names.items() if isinstance(names, Mapping) else ()
    for name, value in fields:
        if type(value) is list and value and type(value[0]) is dict and name not in FIELDS:
            path = f".[{json.dumps(name)}][]"
            return f". Its rows seem to be in {name!r}: `jq -c '{path}' IN > OUT` writes them"
    return ""


def likely_name(name: str, names: Iterable[str]) -> str | None:
    """Return which of `names` seems to be the field `name`; None for none."""
    candidates = {
        other.lower(): other for other in names if other not in FIELDS or other == "anchor"
    }
    synonyms = _OTHER_NAMES.get(name, ())
    match = next((synonym for synonym in synonyms if synonym in candidates), None)
    near = match or most_similar(name, candidates)
    return candidates[near] if near else None
