"""Install the clients: python -m tests.clients.install [DIR].

An environment whose lock file is unchanged is kept. DIR is `.clients` unless given; tests look into
another one where `PRISM_CLIENTS` names it.
"""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.clients.environments import FOLDER, HERE, LOCKS, environment, marker


def install(name: str, folder: Path) -> None:
    """Install an environment unless it is complete.

    Raises:
        CalledProcessError: uv or npm failed.
    """
    if marker(folder).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    if name == "node":
        folder.mkdir(parents=True)
        for file in (".npmrc", "package.json", "package-lock.json"):
            shutil.copy(HERE / file, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    else:
        run("uv", "venv", "-q", "--python", sys.executable, str(folder))
        python = str(folder / "bin" / "python")
        run("uv", "pip", "sync", "-q", "--python", python, str(HERE / LOCKS[name]))
    marker(folder).touch()


def run(*words: str, cwd: Path | None = None) -> None:
    """Run a command, and show its errors."""
    if shutil.which(words[0]) is None:
        raise SystemExit(f"{words[0]}: expected on the PATH, found none; npm comes with Node.js 20")
    subprocess.run(words, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def main(top: Path) -> None:
    """Install all environments at once."""
    folders = {name: environment(name, top) for name in LOCKS}
    with ThreadPoolExecutor() as pool:
        list(pool.map(install, folders, folders.values()))
    for name, folder in folders.items():
        print(f"{name}: {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER)
