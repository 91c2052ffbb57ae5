#!/usr/bin/env bash
# What do cheaper labels cost?
# Arms with verdicts on the same rows: of the first judge alone; of the panel, asked until the verdict is settled; of
# the panel, asked until another verdict is improbable: bash labels.sh
#   JUDGES                 the panel; MiniLM, and the corpus's grades at two thresholds
# From PAIR_QUERIES=75 on --stop posterior has enough to learn from.
# shellcheck source=common.sh
source "$(dirname "$0")/common.sh"
read -ra judges <<<"${JUDGES:-st:minilm:0.45 source source:2}"
panel=()
for judge in "${judges[@]}"; do panel+=(--judge "$judge"); done

prism collect "$train" -o "$work/pairs.jsonl" --limit "${PAIR_QUERIES:-300}" --negatives 3
prism distill "$work/pairs.jsonl" -o "$work/scored.jsonl" --teacher st:minilm
prism relabel "$work/scored.jsonl" -o "$work/one.jsonl" --judge "${judges[0]}"
prism relabel "$work/scored.jsonl" -o "$work/settled.jsonl" "${panel[@]}"
prism relabel "$work/scored.jsonl" -o "$work/posterior.jsonl" "${panel[@]}" --stop posterior

for arm in one settled posterior; do
  prism distill "$work/$arm.jsonl" -o "$work/$arm-labelled.jsonl" --generator extractive --max-sentences 1
  measure "$arm" "$work/$arm-labelled.jsonl"
done
compare
