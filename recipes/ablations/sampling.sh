#!/usr/bin/env bash
# Does it help to balance the rows by the teacher's score?
# Arms of 400 rows (ROWS): drawn from all rows alike; as many of each tenth of the score; the paper's rule, cut to as
# many: bash sampling.sh
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

prism collect "$train" -o "$work/pairs.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 5 --random-negatives 2
label "$work/pairs.jsonl" "$work/labelled.jsonl"
prism sample "$work/labelled.jsonl" -o "$work/alike.jsonl" --size "${ROWS:-400}" --bins 1
prism sample "$work/labelled.jsonl" -o "$work/balanced.jsonl" --size "${ROWS:-400}"
prism sample "$work/labelled.jsonl" -o "$work/capped.jsonl"
prism sample "$work/capped.jsonl" -o "$work/paper.jsonl" --size "${ROWS:-400}" --bins 1

measure alike "$work/alike.jsonl"
measure balanced "$work/balanced.jsonl"
measure paper "$work/paper.jsonl"
compare
