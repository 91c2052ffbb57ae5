"""Tokens saved by leaving out evidence that repeats better documents, and answers kept.

    python tests/benchmarks/skip_repeats.py ROWS GOLD

ROWS: output of `prism rerank` without --skip-repeats; GOLD: people's answers as for `prism eval
quality`. An answer is kept where some evidence of its query holds it.
"""

import argparse
from collections import defaultdict

from prism_cli.domain.repeats import SaidBefore
from prism_cli.domain.squad_tokens import TokenText
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.rows.order import best_first
from prism_cli.rows.results import pairs_of
from prism_cli.rows.row import Row, query_id
from prism_cli.shards.reader import read_rows

Texts = dict[str, list[str]]


def reranked(path: str) -> Texts:
    """Return query_id -> evidence, best document first."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for _, row in read_rows([path]):
        rows[query_id(row)] += pairs_of(row)
    return {
        query: [
            row["predicted_evidence"]
            for row in best_first(own, lambda row: row["score"], own=True)
            if row.get("predicted_evidence")
        ]
        for query, own in rows.items()
    }


def measure(texts: Texts, answers: dict[str, set[str]]) -> None:
    """Print tokens and answers, before and after."""
    tokens = [0, 0]
    kept = [0, 0]
    left_out = asked = 0
    for query, own in texts.items():
        said = SaidBefore()
        new = [text for number, text in enumerate(own) if said.add(text, number) is None]
        left_out += len(own) - len(new)
        for place, part in enumerate((own, new)):
            tokens[place] += sum(map(estimate_tokens, part))
            known = [TokenText(text) for text in part]
            kept[place] += any(text.holds(answer) for text in known for answer in answers[query])
        asked += bool(answers[query])
    total = sum(map(len, texts.values()))
    print(f"{total:,} texts of {len(texts):,} queries, {left_out:,} left out")
    print(f"tokens {tokens[0]:,} -> {tokens[1]:,}: {1 - tokens[1] / tokens[0]:.1%} saved")
    print(f"answers kept, of {asked:,} queries with answers: {kept[0]:,} -> {kept[1]:,}")


def main(rows: str, gold: str) -> None:
    """Measure the evidence of `rows`."""
    answers: defaultdict[str, set[str]] = defaultdict(set)
    for _, row in read_rows([gold]):
        answers[row.get("query_id") or row["_id"]].update(row.get("answers") or ())
    measure(reranked(rows), answers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", help="output of `prism rerank` without --skip-repeats")
    parser.add_argument("gold", help="people's answers as for `prism eval quality`")
    options = parser.parse_args()
    main(options.rows, options.gold)
