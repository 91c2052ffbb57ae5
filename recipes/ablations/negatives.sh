#!/usr/bin/env bash
# Which negatives teach most?
# Arms, four a query: drawn from the whole corpus; BM25's best; MiniLM's best; two of BM25's and two drawn:
# bash negatives.sh
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

prism collect "$train" -o "$work/drawn.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 0 --random-negatives 4
prism collect "$train" -o "$work/of-bm25.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 4
prism collect "$train" -o "$work/of-minilm.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 4 --first-stage st:minilm
prism collect "$train" -o "$work/mixed.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 2 --random-negatives 2

for arm in drawn of-bm25 of-minilm mixed; do
  label "$work/$arm.jsonl" "$work/$arm-labelled.jsonl"
  measure "$arm" "$work/$arm-labelled.jsonl"
done
compare
