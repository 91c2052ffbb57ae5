#!/usr/bin/env bash
# Train SmolLM2-135M as a small reranker: `bash prism-tiny.sh BEIR_DIR [WORK]`. This script made hf:prism-tiny from
# 2,048 questions of SQuAD, in 70 minutes on two cores with AMX.
# Each line can be run again at any time: finished outputs are skipped, training continues from its checkpoint.
# It calls no paid API, and needs only the extra `local`. BEIR_DIR needs a train split.
set -euo pipefail

corpus=$1
work=${2:-prism-tiny}
tests=${TESTS:-}               # BEIR folders to exclude from training and to measure on, separated by blanks

# 1. Hard negatives from all of BM25's first 50 documents, and one random document.
prism collect "$corpus" -o "$work/pairs.jsonl" --negatives 7 --to-rank 50 --random-negatives 1

# 2. The corpus's own labels as verdicts and as the first scores, at no cost.
prism relabel "$work/pairs.jsonl" -o "$work/judged.jsonl" --judge source
prism distill "$work/judged.jsonl" -o "$work/labelled.jsonl" --teacher source

# 3. The mean of label and MiniLM: the label decides the side, MiniLM the distance.
#    Contribution and evidence are sentences of the document.
prism distill "$work/labelled.jsonl" -o "$work/written.jsonl" --teacher source --teacher st:minilm \
  --generator extractive --max-sentences 1

# 4. Train and dev rows that share no query with each other, and nothing with the test sets.
exclude=()
for set in $tests; do exclude+=(--exclude-eval "$set"); done
prism split "$work/written.jsonl" -o "$work/data" --dev-queries 24 ${exclude[@]+"${exclude[@]}"}

# 5. Train, one process per core.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
  torchrun --nproc_per_node "${PROCESSES:-2}" -m prism_cli train "$work/data/train.jsonl" -o "$work/model" \
  --size prism-tiny --dev "$work/data/dev.jsonl" ${STEPS:+--max-steps "$STEPS"}

# 6. Measure it on BM25's first candidates, beside BM25 and the untrained model.
if [ -n "$tests" ]; then
  # shellcheck disable=SC2086
  prism eval $tests -o "$work/eval" --top-k "${TOP_K:-20}" --dtype fast --model hf:smollm2 --model "$work/model"
fi

# 7. The adapter in 16 bits, half the size.
python - "$work/model/best/adapter_model.safetensors" "$work/adapter_model.safetensors" <<'PYTHON'
import sys
import torch
from safetensors.torch import load_file, save_file
weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(sys.argv[1]).items()}
save_file(weights, sys.argv[2], {"format": "pt"})
PYTHON
