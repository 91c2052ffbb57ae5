"""Silence transformers' progress bars and warnings."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Log errors only, draw no progress bar and ignore FutureWarnings inside the block."""
    control: Any = logging
    level, bar = control.get_verbosity(), control.is_progress_bar_enabled()
    control.set_verbosity_error()
    control.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft reads deprecated attributes of transformers; a user cannot change that.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        control.set_verbosity(level)
        if bar:
            control.enable_progress_bar()
