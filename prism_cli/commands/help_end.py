"""Parts of a command's `--help`: types of options; a row in, a row out, its topics, an example."""

from pathlib import Path
from typing import Any

# Command -> its topics, the first one most to the point (`prism help TOPIC`).
TOPICS = {
    "quickstart": ("rows", "models", "training"),
    "collect": ("shapes", "curation", "rows"),
    "collect synthesize": ("curation", "providers"),
    "rewrite-queries": ("curation", "providers"),
    "distill": ("curation", "providers", "models"),
    "sample": ("curation",),
    "relabel": ("providers", "curation", "batch", "security"),
    "split": ("training", "curation"),
    "shard": ("engine", "cluster"),
    "train": ("training", "settings", "cluster"),
    "rerank": ("models", "rows", "engine", "storage", "cluster"),
    "eval": ("metrics", "models"),
    "eval quality": ("metrics", "providers"),
    "eval answers": ("metrics", "providers"),
    "eval labels": ("metrics", "curation"),
    "show": ("rows", "models"),
    "serve": ("serve", "integrations", "models", "rows"),
    "mcp": ("serve", "models"),
    "report": ("metrics",),
    "export": ("models",),
    "convert": ("shapes", "rows", "storage"),
    "recipes": ("settings", "training"),
    "schema": ("settings",),
    "status": ("engine", "batch"),
    "doctor": ("providers", "security"),
    "ledger": ("engine",),
    "help": (),
}
# Command -> a row that it reads and what it makes of it; "…" is the rest of a row.
ROWS = {
    "collect": (
        '{"_id": "q1", "text": "When was it built?"} and {"_id": "d1", "text": "The tower…"}',
        '{"query_id": "q1", "query": "When was it built?", "doc_id": "d1", '
        '"document": "The tower…", "source_label": "1"}',
    ),
    "collect synthesize": (
        '{"instruction": "Questions a nurse asks about wound care", "language": "en"}',
        '{"query_id": "25435214ed633bd0", "query": "…", "instruction": "…", "language": "en"}',
    ),
    "rewrite-queries": (
        '{"query": "When was the tower built?", "document": "The tower…"}',
        '{"query": "tower built", "document": "The tower…", '
        '"original_query": "When was the tower built?", "query_style": "keyword"}',
    ),
    "distill": (
        '{"query": "When was it built?", "document": "The tower…", "verdict": "yes"}',
        '{…, "teacher_scores": {"st:minilm": 0.57}, "teacher_score": 0.57, '
        '"contribution": "It gives the year.", "evidence": "The tower was built in 1889."}',
    ),
    "sample": (
        '{"query": "what is 7", "document": "…6,000 words…", "teacher_score": 0.31}',
        '{"query": "what is 7", "document": "…its first 4,096 tokens…", "teacher_score": 0.31, …}',
    ),
    "relabel": (
        '{"query": "When was it built?", "document": "The tower…"}',
        '{…, "votes": {"deepseek/deepseek-chat": "yes", …}, "verdict": "yes", "votes_cast": 3, '
        '"agreement": 1.0}',
    ),
    "split": (
        '{"query": "When was it built?", "document": "The tower…"}',
        "the same row, in DIR/train.jsonl or in DIR/dev.jsonl",
    ),
    "shard": (
        '{"query": "When was it built?", "document": "The tower…"}',
        "the same line, in DIR/NAME-00000.jsonl or a further shard",
    ),
    "train": (
        '{"query": "…", "document": "…", "teacher_score": 0.78, "verdict": "yes", '
        '"contribution": "…", "evidence": "…"}',
        'a run directory; a step in its log.jsonl: {"step": 158, "loss": 0.63609, …}',
    ),
    "rerank": (
        '{"query": "When was it built?", "document": "The tower…"}',
        '{…, "score": 0.93, "rank": 1, "predicted_verdict": "yes", '
        '"predicted_evidence": "The tower was built in 1889."}',
    ),
    "eval": (
        "a BEIR folder's corpus.jsonl, queries.jsonl and qrels/test.tsv",
        'metrics.json, report.html, TREC runs: "q1 Q0 d1 1 0.974163 runs/tiny"',
    ),
    "eval quality": (
        '{"query_id": "q1", "document": "…", "predicted_verdict": "yes", '
        '"predicted_evidence": "…"}',
        'rows.jsonl: {"query_id": "q1", "quality": {"verdict": "yes", "evidence": {…}}}',
    ),
    "eval answers": (
        '{"query_id": "q1", "query": "When was it built?", "document": "…", '
        '"predicted_verdict": "yes", "predicted_evidence": "…"}',
        'rows.jsonl: {"query_id": "q1", "answers": {…, "contexts": {"evidence": '
        '{"reply": "1889", "f1": 1.0, "tokens_read": 9, …}, …}}}',
    ),
    "eval labels": (
        '{"query": "…", "document": "…", "votes": {"source": "no", "st:minilm": "yes"}, '
        '"teacher_score": 0.78, "verdict": "no"}',
        'review.jsonl: {…, "disagreement": 0.78}',
    ),
    "convert": (
        '{"query": "who found it", "pos": ["Ann found it."], "neg": ["It rained."]}',
        '{"query": "who found it", "document": "Ann found it.", "source_label": "1", …} and '
        "one more",
    ),
}


def help_end(command: str, example: str | None) -> str:
    """Paragraphs below the options: row in and out where the command has rows, topics, example."""
    parts = []
    if command in ROWS:
        row_in, row_out = ROWS[command]
        parts += [f"Row in:  {row_in}", f"Row out: {row_out}"]
    if topics := TOPICS.get(command):
        parts.append(f"Topics:  {', '.join(topics)} (prism help TOPIC)")
    return "\n\n".join([*parts, *([example] if example else [])])


def shorten_types(command: Any) -> None:
    """Show each option's type as a short word, none for a flag: the help text needs the width."""
    for param in command.params:
        if param.param_type_name != "option" or param.metavar or param.type_descriptor.is_choice:
            continue
        words = {bool: "", int: "N", float: "N", Path: "PATH"}
        param.metavar = words.get(param.type_descriptor.annotation, "TEXT")
