"""The fields that prism knows, of pair rows and other shapes; see `prism help rows`."""

import difflib
import json
import shlex
from collections.abc import Iterable, Mapping

MARKED = "marked"
"""`negative` of a document that the writers of a corpus marked as no answer."""
SOURCE_TEXTS = ("source_contribution", "source_evidence")
"""What the corpus itself has as contribution and evidence of a pair, as `source_label`."""
TEXTS = (
    "query", "document", "title", "query_id", "doc_id", "source", "split", "source_label",
    "instruction", "language", "original_query", "query_style", "verdict", "contribution",
    "evidence", *SOURCE_TEXTS, "generator", "generation_error", "model", "predicted_verdict",
    "predicted_contribution", "predicted_evidence", "evidence_omitted", "negative", "url",
    "anchor", "positive", "sentence1", "sentence2", "label", "loss_type", "annotated_label",
)  # fmt: skip
INTEGERS = ("rank", "source_rank", "votes_cast")
NUMBERS = (
    "teacher_score", "score", "logit", "agreement", "source_score", "relevance_score",
    "revised_score",
)  # fmt: skip
BOOLEANS = ("audit", "format_ok", "truncated", "answerable")
OBJECTS_AND_LISTS = (
    "teacher_scores", "votes", "vote_probabilities", "reused", "objectives", "documents",
    "results", "windows", "best_window", "unsupported", "predicted_citations",
    "predicted_contribution_citations", "answers", "rationales", "pos_scores", "neg_scores",
    "pos_id", "neg_id", "pos_ids", "neg_ids",
)  # fmt: skip
LISTS_OR_TEXTS = ("pos", "neg")
FIELDS = (*TEXTS, *INTEGERS, *NUMBERS, *BOOLEANS, *OBJECTS_AND_LISTS, *LISTS_OR_TEXTS)

_OTHER_NAMES = {
    "query": ("question", "questions", "queries", "q", "search_query", "prompt", "anchor"),
    "document": ("passage", "text", "content", "body", "doc", "context", "paragraph", "chunk"),
    "doc_id": ("docid", "_id", "pid", "passage_id", "document_id", "did"),
    "query_id": ("qid", "queryid", "question_id"),
}
"""What data sets call the fields that rows are made of, the likeliest first."""
_MOST_SHOWN = 12
TAKEN_AS_HEADER = (
    "The file's first line was taken as the header; where it is a row or a title, put the names of "
    "the columns in its place or above it, such as query,document"
)


def absent(name: str, names: Iterable[str]) -> str:
    """For "found …": that no field is called `name`, which there are, and what --field says of
    `query` and `document`."""
    there = list(names)
    shown = [one[:40] for one in there[:_MOST_SHOWN]] + ["…"] * (len(there) > _MOST_SHOWN)
    told = f"no such field; there is {', '.join(shown)}" if there else "no such field"
    wanted = [one for one in ("query", "document") if one not in there]
    likely = {one: found for one in wanted if (found := likely_name(one, there))}
    if name not in likely:
        return told + _nested(names)
    words = [word for one, found in likely.items() for word in ("--field", f"{one}={found}")]
    options = shlex.join(words)
    return f"{told}: {options} {'names it' if len(likely) == 1 else 'names them'}"


def is_header(names: Iterable[str]) -> bool:
    """Whether one of the names is that of a field, or seems to be."""
    there = list(names)
    return any(one in FIELDS for one in there) or any(
        likely_name(one, there) for one in _OTHER_NAMES
    )


def by_column(row: Mapping[str, object]) -> str:
    """What to do where a row's values are lists or objects, as in a table that is written column
    by column; "" for others."""
    kinds = {type(value) for value in row.values()}
    if len(row) > 1 and kinds in ({list}, {dict}):
        return (
            ": a table by columns? One object a row is expected, as pandas' "
            "`to_json(OUT, orient='records', lines=True)` writes them"
        )
    return ""


def _nested(names: Iterable[str]) -> str:
    """Where rows seem to stand inside the row whose fields these are: how to take them out."""
    fields = names.items() if isinstance(names, Mapping) else ()
    for name, value in fields:
        if type(value) is list and value and type(value[0]) is dict and name not in FIELDS:
            path = f".[{json.dumps(name)}][]"
            return f". Its rows seem to stand in {name!r}: `jq -c '{path}' IN > OUT` writes them"
    return ""


def likely_name(name: str, names: Iterable[str]) -> str | None:
    """Which of `names` seems to be the field `name`."""
    there = {one.lower(): one for one in names if one not in FIELDS or one == "anchor"}
    known = _OTHER_NAMES.get(name, ())
    found = next((one for one in known if one in there), None)
    near = [found] if found else difflib.get_close_matches(name, there, n=1)
    return there[near[0]] if near else None
