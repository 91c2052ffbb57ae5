"""Text of others inside a prompt: fenced, so that what stands in it is only text.

The mark is derived from the template and the texts, so that nobody who writes a document can know
it, and so that equal questions are equal bytes.
"""

import re
from hashlib import sha256

_FENCE_LIKE = re.compile(r"<{3,}|>{3,}")


def fence_mark(*texts: str) -> str:
    """12 hex digits from the SHA-256 of the texts, each preceded by its length."""
    digest = sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:12]


def fenced(name: str, text: str, mark: str) -> str:
    """`text` between two lines that carry the mark; what looks like such a line is taken apart."""
    return f"<<<{name} {mark}>>>\n{neutralised(text)}\n<<<end of {name} {mark}>>>"


def neutralised(text: str) -> str:
    """`text` with runs of three or more < or > spaced out, so that it can open or close no fence.

    All other characters stay as they are.
    """
    return _FENCE_LIKE.sub(lambda run: " ".join(run.group()), text)
