"""Environments of the clients: where each is, and how a script is run in it."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = HERE / "scripts"
FOLDER = Path(os.environ.get("PRISM_CLIENTS", HERE.parent.parent / ".clients")).absolute()
"""Where environments are installed; `PRISM_CLIENTS` names another folder."""
LOCKS: Mapping[str, str] = {
    "python": "requirements.txt",
    "cohere5": "cohere5.txt",
    "node": "package-lock.json",
}
"""Environment -> its lock file."""
COMMAND = "python -m tests.clients.install"
TIMEOUT = 240.0
"""Most seconds of a script."""


def environment(name: str, folder: Path = FOLDER) -> Path:
    """Return the folder of an environment; another lock file has another folder."""
    digest = hashlib.sha256((HERE / LOCKS[name]).read_bytes()).hexdigest()
    return folder / f"{name}-{digest[:12]}"


def marker(folder: Path) -> Path:
    """Return the file that an environment has once it is complete."""
    return folder / "installed"


def run_script(name: str, script: Path, args: Any) -> Any:
    """Return the JSON value that a script prints.

    Args:
        name: of the environment.
        args: given to the script as JSON, in its environment variable `ARGS`.

    Raises:
        AssertionError: the script failed; with its output.
    """
    folder = environment(name)
    if name == "node":  # imports are looked up from the working folder, as it is no file
        code = "".join(path.read_text() for path in (SCRIPTS / "node" / "outcome.mjs", script))
        words = ["node", "--input-type=module", "--eval", code]
    else:
        words = [str(folder / "bin" / "python"), str(script)]
    done = subprocess.run(
        words,
        cwd=folder,
        env={
            **{name: one for name, one in os.environ.items() if not name.startswith("PYTHON")},
            "ARGS": json.dumps(args),
            "PYTHONPATH": str(SCRIPTS),
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"{script.name}: {done.stdout[-3000:]}{done.stderr[-6000:]}"
    return json.loads(done.stdout.splitlines()[-1])
