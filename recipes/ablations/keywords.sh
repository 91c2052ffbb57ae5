#!/usr/bin/env bash
# Does training on keyword queries help? Arms: queries as people asked them; 40 % of them rewritten as keywords.
# Both are evaluated on the test queries, and on the same queries as keywords: bash keywords.sh
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"
generator=${GENERATOR:-extractive}   # without a key; a model rewrites more: deepseek/deepseek-chat

prism collect "$train" -o "$work/pairs.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 3 --random-negatives 1
prism rewrite-queries "$work/pairs.jsonl" -o "$work/keywords.jsonl" --generator "$generator" --fraction 0.4

# The test queries as keywords: all of them, where the rules allow it.
mkdir -p "$work/test-keywords/qrels"
cp "$test/corpus.jsonl" "$work/test-keywords/"
cp "$test"/qrels/*.tsv "$work/test-keywords/qrels/"
prism collect "$test" -o "$work/test-pairs.jsonl" --split test --negatives 0
prism rewrite-queries "$work/test-pairs.jsonl" -o "$work/test-rewritten.jsonl" --generator "$generator" --fraction 1
python - "$work/test-rewritten.jsonl" "$work/test-keywords/queries.jsonl" <<'PYTHON'
import json
import sys

queries = {row["query_id"]: row["query"] for row in map(json.loads, open(sys.argv[1], encoding="utf-8"))}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    for name, text in queries.items():
        print(json.dumps({"_id": name, "text": text}, ensure_ascii=False), file=file)
PYTHON
EXTRA_TESTS="$work/test-keywords"

label "$work/pairs.jsonl" "$work/plain.jsonl"
label "$work/keywords.jsonl" "$work/rewritten.jsonl"
measure plain "$work/plain.jsonl"
measure keywords "$work/rewritten.jsonl"
compare
