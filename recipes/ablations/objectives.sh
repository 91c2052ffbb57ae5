#!/usr/bin/env bash
# What do the two objectives contribute?
# Arms: score and text, as the paper trains; the score alone; the text alone. bash objectives.sh
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

prism collect "$train" -o "$work/pairs.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 3 --random-negatives 1
label "$work/pairs.jsonl" "$work/labelled.jsonl"

measure both "$work/labelled.jsonl"
measure score-alone "$work/labelled.jsonl" --set gamma_sft=0
measure text-alone "$work/labelled.jsonl" --set gamma_point=0
compare
