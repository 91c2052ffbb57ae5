#!/usr/bin/env bash
# Rerank the files of an inbox, from cron: a crontab line is in `prism help cluster`.
# Finished files are skipped. Exit codes 7 (time limit) and 75 (the last run still goes) are no failure.
set -uo pipefail

inbox=${1:-inbox}              # a folder of JSONL files, each with all rows of its queries
output=${2:-reranked}
model=${MODEL:-runs/2b}

prism rerank "$inbox" -o "$output" --model "$model" --max-seconds 3300
code=$?
[ "$code" -eq 7 ] || [ "$code" -eq 75 ] || exit "$code"
