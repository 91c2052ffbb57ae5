"""Inputs that are no JSONL, as lines of JSONL; the format is told by the file's name."""
