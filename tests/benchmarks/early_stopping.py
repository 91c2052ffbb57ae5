"""Judgements saved by early stopping, on simulated panels, against the closed form.

python tests/benchmarks/early_stopping.py [--rows 20000] [--seed 0]

Independent judges of known accuracies vote through `prism relabel`'s own stage and engine on rows
of which four in ten are relevant. `made` is the stage's count, `closed form` the result of
`reach_probabilities` adds up to; `off by` is their difference in standard errors of the mean. The
audit slice is off: it costs 2 % of the saving.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.domain.source_labels import SourceLabelJudge

PANELS = {
    "five, .95 each": [0.95] * 5,
    "five, .85 each": [0.85] * 5,
    "five, .70 each": [0.70] * 5,
    "five, .64 .76 .72 .73 .70, as published": [0.64, 0.76, 0.72, 0.73, 0.70],
    "three, .90 .80 .70": [0.9, 0.8, 0.7],
    "two, .90 .80": [0.9, 0.8],
}


@dataclass
class SimulatedJudge(SourceLabelJudge):
    """Judge that is right with a given probability, at random by (seed, judge, row)."""

    spec: str
    accuracy: float
    seed: int

    def vote(self, row: dict[str, Any]) -> Any:
        right = random.Random(f"{self.seed} {self.spec} {row['doc_id']}").random() < self.accuracy
        return "yes" if row["relevant"] == right else "no"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    from prism_cli.domain.voting import reach_probabilities
    from prism_cli.engine.runner import RunOptions, run_rows
    from prism_cli.stages.relabel import RelabelStage
    from tests.factories import make_pair, read_jsonl, write_jsonl

    print(f"{options.rows:,} rows, seed {options.seed}; judgements a row")
    heads = f"{'made':>7} {'closed form':>11} {'off by':>7} {'saved':>7} {'closed form':>11}"
    print(f"{'panel':42} {heads} {'verdicts right':>14} {'seconds':>8}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PRISM_STATE"] = folder
        rows = [make_pair(n, relevant=n % 10 < 4, note=None) for n in range(options.rows)]
        path = write_jsonl(Path(folder) / "in.jsonl", rows)
        for name, accuracies in PANELS.items():
            judges = [
                SimulatedJudge(f"j{at}", accuracy, options.seed)
                for at, accuracy in enumerate(accuracies)
            ]
            out = Path(folder) / "out.jsonl"
            started = time.perf_counter()
            run_rows(RelabelStage(judges), [str(path)], RunOptions(out, quiet=True, overwrite=True))
            seconds = time.perf_counter() - started
            output = read_jsonl(out)
            counts = [row["votes_cast"] for row in output]
            mean = sum(counts) / len(counts)
            spread = (sum((count - mean) ** 2 for count in counts) / len(counts) ** 2) ** 0.5
            right = sum(row["verdict"] == ("yes" if row["relevant"] else "no") for row in output)
            closed, size = sum(reach_probabilities(accuracies)), len(accuracies)
            off = (mean - closed) / spread if spread else mean - closed
            print(
                f"{name:42} {mean:7.3f} {closed:11.3f} {off:+7.2f} {1 - mean / size:7.1%} "
                f"{1 - closed / size:11.1%} {right / len(output):14.1%} {seconds:8.1f}"
            )


if __name__ == "__main__":
    main()
