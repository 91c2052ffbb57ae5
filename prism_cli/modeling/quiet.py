"""transformers without its bars and warnings, for as long as prism speaks for it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Only errors are logged, no bar is drawn and no future is warned of, inside the block."""
    control: Any = logging
    level, bar = control.get_verbosity(), control.is_progress_bar_enabled()
    control.set_verbosity_error()
    control.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft asks transformers for attributes that go away; nothing a user could do.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        control.set_verbosity(level)
        if bar:
            control.enable_progress_bar()
