"""The last module that the fork server of runs loads: what else a run computes before its steps.

A run that is forked then finds it done, and no garbage collection looks at what all runs share.
"""

import gc

from transformers.conversion_mapping import get_checkpoint_conversion_mapping

get_checkpoint_conversion_mapping("llama")  # makes and keeps the table of all models
gc.collect()
gc.freeze()
