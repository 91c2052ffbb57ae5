"""Time of `prism --help` and `prism rerank --help`: the best of 5, after a first run.

python tests/benchmarks/cli_help.py
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

PRISM = Path(sys.executable).with_name("prism")
TARGET_SECONDS = 0.3


def seconds(words: list[str]) -> float:
    """Wall seconds of one run."""
    started = time.perf_counter()
    subprocess.run([PRISM, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"prism-cli {version('prism-cli')}, typer {version('typer')}"
    )
    for words in (["--help"], ["rerank", "--help"]):
        seconds(words)
        best = min(seconds(words) for _ in range(5))
        print(f"prism {' '.join(words):16} {best:6.3f} s  (target < {TARGET_SECONDS} s)")


if __name__ == "__main__":
    main()
