#!/usr/bin/env bash
# Check and measure prism on this machine's GPU, in a checkout: `bash recipes/gpu-check.sh [-o DIR]`, at most 8 minutes.
# Random weights in the shapes of Qwen3.5-0.8B, Qwen3.5-2B and Qwen3-4B: nothing is downloaded. A check that fails makes
# the exit code 1; DIR/gpu-check.md is a section for tests/benchmarks/RESULTS.md. All options: --help.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
if [ ! -e "$root/tests/benchmarks/gpu_check.py" ]; then
  echo "gpu-check.sh: expected a checkout of prism, whose tests/ has the measurements; found none in $root" >&2
  exit 3
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1
exec python -m tests.benchmarks.gpu_check "$@"
