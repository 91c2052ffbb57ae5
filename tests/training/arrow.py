"""Tokenized rows without a tokenizer."""

import datasets

from prism_cli.training.data import COLUMNS, TokenizedRows


def rows_on_disk(count: int) -> TokenizedRows:
    """Rows whose number is their place and a hundred times their score; every third lacks one."""
    records = {
        "prompt": [[10 + number] * (3 + number % 4) for number in range(count)],
        "target": [[1, 2] if number % 2 else [] for number in range(count)],
        "teacher_score": [None if number % 6 == 3 else number / 100 for number in range(count)],
        "verdict": [number % 2 for number in range(count)],
        "pointwise": [number % 6 != 3 for number in range(count)],
        "sft": [number % 2 == 1 for number in range(count)],
        "query_id": [f"q{number // 3}" for number in range(count)],
        "place": [f"rows.jsonl:{number}" for number in range(count)],
        "pair": list(range(count)),
    }
    return TokenizedRows(datasets.Dataset.from_dict(records, features=COLUMNS), {"rows": count})
