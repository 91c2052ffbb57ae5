"""`prism eval answers`: answers of a reader from documents, evidence and other texts."""
