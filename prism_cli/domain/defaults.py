"""Defaults that settings, the Python interface, and the code behind both share."""

MAX_TOKENS = 10_240
"""Prompt tokens at inference, as published."""
MAX_TRAINING_TOKENS = 8_192
"""Prompt tokens in training, as published."""
MAX_NEW_TOKENS = 512
"""Tokens of one text."""
MOST_NEW_TOKENS = 4096
"""Most tokens of one text that a request to a server may ask for."""
GAMMA_POINT, GAMMA_SFT = 10.0, 1.0
"""Weights of the two parts of the training loss."""
ATTEMPTS = 3
"""Requests of a judge, a rater or a generator whose replies cannot be used."""
KEYLESS_JUDGES = "--judge st:minilm --judge hf:smollm2"
"""Judges that need neither a key nor a label of the row, as messages name them."""
LARGEST_LEARNED_PANEL = 7
"""Judges of a panel whose stopping rule is learned: its tables have 4 ** judges entries."""
