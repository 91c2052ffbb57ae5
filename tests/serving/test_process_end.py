"""The end of a process with children."""

import subprocess
import sys

PROGRAM = """
import multiprocessing, time
from prism_cli.serving.process_end import end_process
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
child.start()
print(child.pid, flush=True)
end_process(5)
"""


def test_children_end_with_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 5  # the output's pipe is closed: the child does not hold it open
    assert done.stdout.strip().isdigit()
