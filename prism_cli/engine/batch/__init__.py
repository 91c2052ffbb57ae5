"""Batch mode: a dry pass over the rows collects requests; they are submitted and awaited; the next
pass reads the replies.

- `runner`: collects the requests of a pass and sends them as batch files.
- `client`: uploads the files, creates the batches, waits for them and fetches their replies.
- `result_files`: one reply for each key of a result file, and whether paid ones are missing.
- `store`: SQLite file of the submissions, the requests in each, and the replies as they came.

The provider's wire format is an adapter (`prism_cli/adapters/chat/batch_api.py`), since the engine
imports no adapter; it sees `BatchEndpoint` and `BatchableBackend` of `prism_cli/batch_ports.py`
alone.
"""
