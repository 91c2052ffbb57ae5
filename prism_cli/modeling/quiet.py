"""transformers without its bars and warnings, for as long as prism speaks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Only errors are logged, and no bar is drawn, inside the block."""
    control: Any = logging
    level, bar = control.get_verbosity(), control.is_progress_bar_enabled()
    control.set_verbosity_error()
    control.disable_progress_bar()
    try:
        yield
    finally:
        control.set_verbosity(level)
        if bar:
            control.enable_progress_bar()
