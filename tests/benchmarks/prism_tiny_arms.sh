#!/usr/bin/env bash
# Settings of hf:prism-tiny, one run each on equal budgets:
#   TESTS="pool/fm2 pool/covidqa" TEST_SPLIT=train bash tests/benchmarks/prism_tiny_arms.sh POOL [WORK] [ARM…]
# Each arm is recipes/prism-tiny/prism-tiny.sh with one thing changed. Arms that were finished are skipped; afterwards
# `prism report ARM=WORK/ARM/eval …` compares them query by query. MPNET and GEMMA name folders of all-mpnet-base-v2
# and of gemma-3-270m. 110 steps of 8 rows took 32 minutes on one core with AVX2; STEPS is the budget of an arm.
set -euo pipefail
export STEPS=${STEPS:-110}

pool=$1
work=${2:-prism-tiny-arms}
shift $(($# > 1 ? 2 : 1))
recipe=$(dirname "$0")/../../recipes/prism-tiny/prism-tiny.sh
settings='--set rows_per_step=8 --set learning_rate=3e-4'
export TRAIN_OPTIONS=$settings
arms=("$@")
[ $# -gt 0 ] || arms=(base one-domain no-claims no-doubles all-answerable label minilm both negatives-7 more-text long two-epochs scratch)

for arm in "${arms[@]}"; do
  case $arm in
    base) changed=() ;;
    one-domain) changed=(SETS="${ONE_SET:-squad-train-part=1200}" CLAIMS= DOUBLES= BUNDLED=0) ;;
    no-claims) changed=(CLAIMS=) ;;
    no-doubles) changed=(DOUBLES=) ;;
    all-answerable) changed=(UNANSWERABLE= BUNDLED=0) ;;
    label) changed=(TEACHERS=source) ;;
    minilm) changed=("TEACHERS=source st:minilm") ;;
    both) changed=("TEACHERS=source st:minilm st:e5") ;;
    mpnet) changed=("TEACHERS=source st:$MPNET") ;;
    negatives-7) changed=(NEGATIVES=7) ;;
    more-text) changed=("TRAIN_OPTIONS=$settings --set sft_ratio=0.7") ;;
    long) changed=(WORDS=200 LONG_WORDS=700 "TRAIN_OPTIONS=$settings --set max_tokens=1024") ;;
    two-epochs) changed=(STEPS="$((2 * STEPS))") ;;
    scratch) changed=(FROM=hf:smollm2 "TRAIN_OPTIONS=--set rows_per_step=8 --set learning_rate=1e-3") ;;
    gemma) changed=(FROM="hf:$GEMMA" "TRAIN_OPTIONS=--set rows_per_step=8 --set learning_rate=1e-3") ;;
    *) echo "$arm: no such arm" >&2 && exit 2 ;;
  esac
  env "${changed[@]}" bash "$recipe" "$pool" "$work/$arm"
done
