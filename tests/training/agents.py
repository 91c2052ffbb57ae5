"""`torchrun --nnodes 2` on this machine: two agents, whose workers are forked with the slow
libraries loaded."""

import os
from pathlib import Path

from tests.training.runs import SERVER, Arm, Toy, free_port, run_words


class Agents:
    """Two agents of torchrun, each with one worker that runs `prism` with the words of `toy`.

    Args:
        arm: called in the worker of rank 1 in its first attempt, before `main`.
        sharded: as for `Toy.children`.
    """

    def __init__(
        self,
        toy: Toy,
        *more: str | Path,
        run: str = "run",
        max_restarts: int = 0,
        arm: Arm | None = None,
        sharded: bool = False,
    ) -> None:
        launch = [
            "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", str(max_restarts),
            "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}",
            "--local-addr", "127.0.0.1", "--start-method", "fork", "-m", "prism_cli",
        ]  # fmt: skip
        self._logs = [toy.folder / f"agent{number}.log" for number in (0, 1)]
        words = toy.words(*more, run=run)
        self._processes = [
            SERVER.Process(
                target=_agent, args=(launch, log, words, toy.folder, dict(os.environ), arm, sharded)
            )
            for log in self._logs
        ]
        for process in self._processes:
            process.start()

    def end(self) -> list[int | None]:
        """Wait; the exit codes."""
        for process in self._processes:
            process.join(150)
        codes = [process.exitcode for process in self._processes]
        for process in self._processes:
            process.terminate()  # ends its worker, too
        return codes

    @property
    def said(self) -> str:
        """What agents and workers said."""
        return "\n".join(log.read_text() for log in self._logs if log.exists())


def _agent(
    launch: list[str],
    log: Path,
    words: list[str],
    folder: Path,
    environment: dict[str, str],
    arm: Arm | None,
    sharded: bool,
) -> None:
    from torch.distributed.launcher.api import elastic_launch
    from torch.distributed.run import config_from_args, get_args_parser

    # Else torch 2.13 may give a restarted worker the address of the one before.
    os.environ.update(environment, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1", GLOO_SOCKET_IFNAME="lo")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    config, _, _ = config_from_args(get_args_parser().parse_args(launch))
    elastic_launch(config, _worker)(words, folder, arm, sharded)


def _worker(words: list[str], folder: Path, arm: Arm | None, sharded: bool) -> None:
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and os.environ["RANK"] == "1"
    run_words(words, folder, (arm if first else None), sharded)
