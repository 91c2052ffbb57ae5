#!/usr/bin/env bash
# The paper as one shell file, for a GPU machine: `bash pipeline.sh` in a folder with room for data.
# Each line can be run again at any time: finished outputs are skipped, and no reply is paid for twice.
# Unchanged, it calls no paid API: it uses a local teacher and the corpus's own labels. The comments name the
# paper's paid models; `--dry-run` estimates their cost.
set -euo pipefail

corpus=${1:-data/beir/hotpotqa} # a BEIR folder with a train and a test split
size=${2:-2b}                  # a recipe: 0.8b, 2b, 2b-mixed, 4b, 9b, qwen3-reranker-4b
teacher=${TEACHER:-st:sentence-transformers/all-mpnet-base-v2}

# 1. Pairs: each query with its positives, and hard negatives from BM25's first 50.
prism collect "$corpus" -o work/pairs.jsonl --negatives 4 --to-rank 50 --random-negatives 1

# 2. Keyword-style queries for 40 %, before any label. This needs a key; use work/keywords.jsonl below then:
#    prism rewrite-queries work/pairs.jsonl -o work/keywords.jsonl --generator deepseek/deepseek-chat
#    (--generator extractive needs no key: it removes function words, and does nothing else)

# 3. Teacher scores. The paper takes the mean of two Voyage rerankers, to the power of 1.609:
#    --teacher voyage/rerank-2 --teacher voyage/rerank-2.5. Other teachers have other scales: fit the exponent
#    to labels with --calibrate work/judged.jsonl
prism distill work/pairs.jsonl -o work/scored.jsonl --teacher "$teacher"

# 4. As many hard cases as easy ones.
prism sample work/scored.jsonl -o work/sampled.jsonl --size 200000

# 5. Verdicts. The paper's panel of five LLM judges needs their keys: prism relabel work/sampled.jsonl
prism relabel work/sampled.jsonl -o work/labelled.jsonl --judge source

#    How reliable the labels of a panel are: agreement, and rows to review.
prism eval labels work/labelled.jsonl -o runs/eval/labels

# 6. Contribution and evidence for each yes. With a paid model: --generator deepseek/deepseek-chat
prism distill work/labelled.jsonl -o work/written.jsonl --generator extractive

# 7. Train and dev rows that share no query with each other, and nothing with the test set.
prism split work/written.jsonl -o data --exclude-eval "$corpus"

# 8. Train. After a kill, the same line continues from the newest checkpoint.
prism train data/train.jsonl -o "runs/$size" --size "$size" --dev data/dev.jsonl

# 9. Measure on the nine question-answering sets of BEIR, beside the first stage.
prism eval beir-qa --model "runs/$size" -o "runs/eval/beir-qa-$size"

# 10. Compare its evidence with the documents. --gold FILE adds answers or rationales marked by people,
#     --judge PROVIDER/MODEL ratings by a model of another family than the panel.
prism rerank data/dev.jsonl -o "work/reranked-$size.jsonl" --model "runs/$size"
prism eval quality "work/reranked-$size.jsonl" -o "runs/eval/quality-$size"
