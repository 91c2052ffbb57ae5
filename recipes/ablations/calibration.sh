#!/usr/bin/env bash
# Does it matter that .5 separates yes from no in the teacher's scores?
# Arms: MiniLM's cosines as they are; raised to the exponent that fits the corpus's labels: bash calibration.sh
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"

prism collect "$train" -o "$work/pairs.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 3 --random-negatives 1
prism relabel "$work/pairs.jsonl" -o "$work/verdicts.jsonl" --judge source
prism distill "$work/verdicts.jsonl" -o "$work/scored.jsonl" --teacher st:minilm --calibration-exponent 1

label "$work/pairs.jsonl" "$work/raw.jsonl" --teacher st:minilm --calibration-exponent 1
label "$work/pairs.jsonl" "$work/fitted.jsonl" --teacher st:minilm --calibrate "$work/scored.jsonl"
measure raw "$work/raw.jsonl"
measure calibrated "$work/fitted.jsonl"
compare
