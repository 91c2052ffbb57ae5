#!/usr/bin/env bash
# Does training on keyword queries help?
# Arms: queries as people asked them; a part of them rewritten as keywords. Both are evaluated on the test queries, and
# on those that can be rewritten, as keywords: bash keywords.sh
#   GENERATOR, FRACTION    extractive, whose rules rewrite about a fifth of all queries, and 1; with a model, such as
#                          deepseek/deepseek-chat, the paper's share is FRACTION=0.4
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"
generator=${GENERATOR:-extractive}

prism collect "$train" -o "$work/pairs.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 3 --random-negatives 1
prism rewrite-queries "$work/pairs.jsonl" -o "$work/keywords.jsonl" --generator "$generator" --fraction "${FRACTION:-1}"

# The test queries as keywords: those that are rewritten.
mkdir -p "$work/test-keywords/qrels"
cp "$test/corpus.jsonl" "$work/test-keywords/"
cp "$test"/qrels/*.tsv "$work/test-keywords/qrels/"
prism collect "$test" -o "$work/test-pairs.jsonl" --split test --negatives 0
prism rewrite-queries "$work/test-pairs.jsonl" -o "$work/test-rewritten.jsonl" --generator "$generator" --fraction 1
python - "$work/test-rewritten.jsonl" "$work/test-keywords/queries.jsonl" <<'PYTHON'
import json
import sys

rows = map(json.loads, open(sys.argv[1], encoding="utf-8"))
queries = {row["query_id"]: row["query"] for row in rows if row["query_style"] == "keyword"}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    for name, text in queries.items():
        print(json.dumps({"_id": name, "text": text}, ensure_ascii=False), file=file)
PYTHON
tests+=("$work/test-keywords")

label "$work/pairs.jsonl" "$work/plain.jsonl"
label "$work/keywords.jsonl" "$work/rewritten.jsonl"
measure plain "$work/plain.jsonl"
measure keywords "$work/rewritten.jsonl"
compare
