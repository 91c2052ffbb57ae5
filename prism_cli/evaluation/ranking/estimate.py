"""Estimate of the time that scoring takes: operations needed over operations per second."""

import re
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import torch

_NAMED_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z])", re.IGNORECASE)
_EFFICIENCY = 0.5
_SECONDS_FLOOR = 1e-9
CHARACTERS_PER_TOKEN = 4
PROMPT_TOKENS = 110
"""Tokens of the template around query and document."""


def pair_tokens(documents: "Any", sample: int = 200) -> int:
    """Estimate the tokens of a prompt, from the first documents of a corpus."""
    sizes = [len(text) for _, text in islice(documents, sample)]
    mean = sum(sizes) / len(sizes) if sizes else 0
    return PROMPT_TOKENS + round(mean / CHARACTERS_PER_TOKEN)


def parameter_count(spec: str) -> float | None:
    """Return the number of parameters, from the base of a run directory, the size of the weights,
    or a size in the model's name (2B, 135M); None if unknown."""
    if spec in ("hf:smollm2", "hf:prism-tiny"):
        return 135e6
    path = Path(spec.removeprefix("hf:"))
    for card in (path / "prism.json", path / "best/prism.json", path / "last/prism.json"):
        if card.is_file():
            base = orjson.loads(card.read_bytes()).get("base")
            if base:
                return parameter_count(base)
    if path.is_dir():
        size = sum(file.stat().st_size for file in path.glob("*.safetensors"))
        if size > 50_000_000:
            return size / 2
    match = _NAMED_SIZE.search(path.name)
    if match:
        return float(match[1]) * (1e9 if match[2].upper() == "B" else 1e6)
    return None


def operations_per_second(device: "torch.device", dtype: "torch.dtype") -> float:
    """Measure a matrix product there, in the dtype that scores."""
    import torch

    size = 4096 if device.type == "cuda" else 768
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(5):  # the best, as the first is slow and others may wait for a processor
        started = time.perf_counter()
        float((matrix @ matrix)[0, 0])  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return 2.0 * size**3 / max(min(seconds), _SECONDS_FLOOR)


def hours(pairs: int, tokens: int, parameters: float, operations: float) -> float:
    """Return the hours at 2 operations per parameter and token, at half of the measured rate."""
    return pairs * tokens * 2 * parameters / (operations * _EFFICIENCY) / 3600
