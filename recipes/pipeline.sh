#!/usr/bin/env bash
# The paper as one shell file, for a GPU machine: `bash pipeline.sh` in a folder with room for data.
# Each line may be run again at any time: what is finished is skipped, what was paid is not paid twice.
# As it stands it asks nobody for money: a local teacher, the corpus's own labels. The comments name the
# paper's paid models; `--dry-run` tells what they would cost.
set -euo pipefail

corpus=${1:-data/beir/nq}      # a BEIR folder with a train split
size=${2:-2b}                  # a recipe: 0.8b, 2b, 2b-mixed, 4b, 9b, qwen3-reranker-4b
teacher=${TEACHER:-st:sentence-transformers/all-mpnet-base-v2}

# 1. Pairs: each query with its positives, and hard negatives from BM25's first 50.
prism collect "$corpus" -o work/pairs.jsonl --negatives 4 --to-rank 50 --random-negatives 1

# 2. Keyword-style queries for 40 %, before any label; with a key, and then work/keywords.jsonl below:
#    prism rewrite-queries work/pairs.jsonl -o work/keywords.jsonl --generator deepseek/deepseek-chat
#    (--generator extractive needs no key: it leaves out little words, and does nothing else)

# 3. A teacher's score. The paper's is the mean of two Voyage rerankers, to the power of 1.609:
#    --teacher voyage/rerank-2 --teacher voyage/rerank-2.5. Another teacher has its own scale, so fit the
#    exponent to labels: --calibrate work/judged.jsonl
prism distill work/pairs.jsonl -o work/scored.jsonl --teacher "$teacher"

# 4. As many hard cases as easy ones.
prism sample work/scored.jsonl -o work/sampled.jsonl --size 200000

# 5. Verdicts. The paper's panel of five LLM judges needs their keys: prism relabel work/sampled.jsonl
prism relabel work/sampled.jsonl -o work/labelled.jsonl --judge source

#    What the labels are worth, where a panel judged: agreement, and the rows to read again.
prism eval labels work/labelled.jsonl -o runs/eval/labels

# 6. Contribution and evidence for each yes; by a paid model: --generator deepseek/deepseek-chat
prism distill work/labelled.jsonl -o work/written.jsonl --generator extractive

# 7. Train and dev rows that share no query, and nothing with the test set.
prism split work/written.jsonl -o data --exclude-eval "$corpus"

# 8. Train; killed, the same line goes on from its newest checkpoint.
prism train data/train.jsonl -o "runs/$size" --size "$size" --dev data/dev.jsonl

# 9. Measure on the nine question-answering sets of BEIR, beside the first stage.
prism eval beir-qa --model "runs/$size" -o "runs/eval/beir-qa-$size"

# 10. The evidence it writes, against the documents; with people's answers or rationales: --gold FILE,
#     with ratings by a model of another family than the panel: --judge PROVIDER/MODEL
prism rerank data/dev.jsonl -o "work/reranked-$size.jsonl" --model "runs/$size"
prism eval quality "work/reranked-$size.jsonl" -o "runs/eval/quality-$size"
