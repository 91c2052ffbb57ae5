"""Tokens that sharing a query's part of the prompt within a training step would save.

    python tests/benchmarks/train_sharing.py ROWS [--steps 200]

Tokens that go through the model in a step of 16 rows: each row alone; with the template shared by
all rows (what prism does); with the query's part shared as well where a step happens to draw rows
of one query; and that, if every step were 16 rows of one query, the most that any order could save.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from prism_cli.configs.load import load_config
from prism_cli.configs.train import TrainConfig
from prism_cli.domain.mixture import draw_rows
from prism_cli.modeling.loading import load_encoder
from prism_cli.modeling.losses import TokenizedRow
from prism_cli.modeling.packed_rows import common_prefix
from prism_cli.shards.file_digest import digest_file
from prism_cli.shards.reader import find_shards
from prism_cli.training.batches import StepDataset
from prism_cli.training.data import tokenize

ROWS_PER_STEP = 16


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--recipe", default="tiny")
    options = parser.parse_args()
    config = load_config(TrainConfig, "train", recipe=options.recipe)
    encoder = load_encoder(config.model, config.max_tokens, profile=config.profile)
    shards = find_shards([options.rows])
    with tempfile.TemporaryDirectory() as folder:
        table = tokenize(
            shards,
            encoder,
            Path(folder) / "tokens",
            digests=[digest_file(shard.path).sha256 for shard in shards],
        )
        count = options.steps * ROWS_PER_STEP
        draws = draw_rows(table.pools, config.sft_ratio, config.mixture, 0, count)
        queries = table.column("query_id")
        steps = StepDataset(table, draws, ROWS_PER_STEP)
        alone = template = query = 0
        for number in range(options.steps):
            rows = steps[number]
            span = draws.rows[number * ROWS_PER_STEP : (number + 1) * ROWS_PER_STEP]
            by_query: dict[str, list[TokenizedRow]] = defaultdict(list)
            for row, at in zip(rows, span, strict=True):
                by_query[str(queries[at])].append(row)
            shared_prefix = common_prefix([row.prompt for row in rows])
            alone += sum(row.tokens for row in rows)
            template += shared_prefix + sum(row.tokens - shared_prefix for row in rows)
            query += shared_prefix + sum(
                shared(group, shared_prefix) for group in by_query.values()
            )
    unshared = alone / count - shared_prefix
    texts = [json.loads(line)["query"] for line in Path(options.rows).read_text().splitlines()]
    tokens_mean = sum(len(encoder.prefix_ids(text)) for text in texts) / len(texts) - shared_prefix
    grouped = shared_prefix + tokens_mean + ROWS_PER_STEP * (unshared - tokens_mean)
    print(
        json.dumps(
            {
                "rows": len(table),
                "queries": len(set(queries)),
                "template_tokens": shared_prefix,
                "query_tokens": round(tokens_mean, 1),
                "tokens_per_row": round(shared_prefix + unshared, 1),
                "alone": round(alone / options.steps),
                "template_shared": round(template / options.steps),
                "query_shared_as_drawn": round(query / options.steps),
                "query_shared_one_query_a_step": round(grouped),
                "most_saved": round(1 - grouped / (template / options.steps), 3),
            }
        )
    )


def shared(rows: Sequence[TokenizedRow], shared_prefix: int) -> int:
    """Count tokens of rows of one query after the shared prefix, with their common part once."""
    common = max(common_prefix([row.prompt for row in rows]), shared_prefix)
    return common - shared_prefix + sum(row.tokens - common for row in rows)


if __name__ == "__main__":
    main()
