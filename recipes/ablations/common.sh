# Functions of the ablations beside this file: labels, trainings with several seeds, and their comparison.
# shellcheck shell=bash disable=SC2034
#
# An ablation trains each of its arms with three seeds, evaluates every model on the test set, and compares the arms
# query by query. Each line can be run again at any time: finished work is skipped. Variables, with their defaults:
#   TRAIN, TEST            BEIR folders with qrels/train.tsv and qrels/test.tsv (`prism convert --to beir` writes
#                          test.tsv); the bundled corpus's parts
#   PAIR_QUERIES           queries of TRAIN to make rows of, 300
#   WORK                   folder of everything that is made; ablations/NAME
#   MODEL                  what is trained further; hf:prism-tiny (hf:smollm2 starts from scratch, and needs STEPS=1000)
#   SEEDS, STEPS           "0 1 2", and 20 optimizer steps of 8 rows each
#   QUERIES, TOP_K         test queries, 40, and BM25's candidates for each, 8
#   MAX_TOKENS             longest prompt of the evaluations, 1024: a quarter of BM25's candidates are long documents,
#                          which otherwise take most of the time
# An arm with one seed then takes about ten minutes on two cores with AVX2, and can show large differences only; with a
# GPU, take more: STEPS=500 QUERIES=300 TOP_K=20 MAX_TOKENS=10240.
set -euo pipefail

name=$(basename "$0" .sh)
bundled=$(python -c 'from prism_cli.bundled import CORPUS; print(CORPUS)')
train=${TRAIN:-$bundled/train}
test=${TEST:-$bundled/test}
work=${WORK:-ablations/$name}
tests=("$test") # an ablation may add more, such as another form of the queries
folders=()

# label PAIRS OUT [OPTION…]: the corpus's labels as verdicts, a teacher's scores, and for each yes the document's
# closest sentence. Options are distill's; without one the score is the mean of label and MiniLM.
label() {
  local pairs=$1 out=$2
  shift 2
  [ $# -gt 0 ] || set -- --teacher source --teacher st:minilm
  prism relabel "$pairs" -o "${out%.jsonl}.judged.jsonl" --judge source
  prism distill "${out%.jsonl}.judged.jsonl" -o "$out" "$@" --generator extractive --max-sentences 1
}

# measure ARM ROWS [OPTION…]: one model a seed, trained on ROWS without what the test set asks; each is evaluated into
# a folder of its own. Options are train's.
measure() {
  local arm=$1 rows=$2 seed
  shift 2
  base
  prism split "$rows" -o "$work/$arm" --dev-queries 0 --exclude-eval "$test"
  for seed in ${SEEDS:-0 1 2}; do
    prism train "$work/$arm/train.jsonl" -o "$work/$arm-$seed" --size tiny --model "$work/base" --seed "$((seed))" \
      --max-steps "${STEPS:-20}" --epochs 100 --set learning_rate=3e-4 "$@"
    prism eval "${tests[@]}" -o "$work/eval-$arm-$seed" --model "$work/$arm-$seed" --limit "${QUERIES:-40}" \
      --top-k "${TOP_K:-8}" --max-tokens "${MAX_TOKENS:-1024}" --long-documents cut --dtype fast
    folders+=("$arm=$work/eval-$arm-$seed")
  done
}

# base: the model to train, as a whole model.
base() {
  [ -e "$work/base/config.json" ] || prism export "${MODEL:-hf:prism-tiny}" -o "$work/base" --dtype bfloat16
}

# compare: the arms measured above beside the first one, as a table and as WORK/report.html.
compare() {
  prism report "${folders[@]}" -o "$work/report.html"
}
