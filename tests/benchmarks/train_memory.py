"""The plan's memory estimate beside the measured peak, each in a separate run.

    python tests/benchmarks/train_memory.py ROWS [--model hf:smollm2] [--steps 2] [--only NAME ...]

ROWS is a file that `prism train` takes, such as demo/data/train.jsonl of the quickstart. Each case
is the recipe `tiny` with a few settings changed. On a CPU the peak is resident memory (the whole
process, its libraries too), on a GPU what its allocator held. Ends with 1 where an estimate is off
by more than a factor of 2.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = {
    "bfloat16": [],
    "float32": ["dtype=float32"],
    "all layers": ["lora.first_layer=0"],
    "dora": ["lora.use_dora=true"],
    "checkpointed": ["gradient_checkpointing=true", "lora.first_layer=0"],
    "small passes": ["tokens_per_batch=512"],
    "full": ["method=full"],
}


def main() -> None:
    """Print a line of JSON for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("--model", default="hf:smollm2")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=CASES)
    options = parser.parse_args()
    off = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            words = [
                sys.executable, "-m", "prism_cli", "train", options.rows, "-o", f"{folder}/run",
                "--size", "tiny", "--model", options.model, "--max-steps", str(options.steps), "-q",
                *(word for setting in CASES[name] for word in ("--set", setting)),
            ]  # fmt: skip
            subprocess.run(words, check=True)
            run = Path(folder) / "run"
            memory = json.loads((run / "manifest.json").read_text())["figures"]["plan"]
            lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        peak = max(line["timed"]["peak_memory_bytes"] for line in lines if "timed" in line)
        ratio = memory["memory_bytes"]["all"] / peak
        gib = {part: round(size / 2**30, 2) for part, size in memory["memory_bytes"].items()}
        print(
            json.dumps(
                {
                    "case": name,
                    "estimate_gib": gib["all"],
                    "peak_gib": round(peak / 2**30, 2),
                    "ratio": round(ratio, 2),
                    "largest_pass": memory["largest_pass"],
                    "parts_gib": gib,
                }
            ),
            flush=True,
        )
        if not 0.5 <= ratio <= 2:
            off.append(name)
    if off:
        sys.exit(f"off by more than a factor of 2: {', '.join(off)}")


if __name__ == "__main__":
    main()
