"""The fields that prism knows, of pair rows and of the shapes that it reads; see README, Rows."""

TEXTS = (
    "query", "document", "title", "query_id", "doc_id", "source", "split", "source_label",
    "instruction", "language", "original_query", "query_style", "verdict", "contribution",
    "evidence", "generator", "generation_error", "model", "predicted_verdict",
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
