"""Length limits: long documents are truncated, and long pairs are dropped.

Tokens are those of the text alone; the prompt is not counted.
"""

from dataclasses import dataclass
from typing import Protocol

from prism_cli.domain.token_estimate import cut_to_estimate, estimate_tokens
from prism_cli.domain.words import words
from prism_cli.rows.row import Row, doc_id, document_text


class TokenCutter(Protocol):
    """Counts tokens and truncates texts; `name` is its description for the summary."""

    name: str

    def bound(self, text: str) -> int:
        """Return an upper bound of `count`, from the length alone."""

    def count(self, text: str, most: int | None = None) -> int:
        """Return the tokens of `text`; above `most`, any number above it."""

    def cut(self, text: str, limit: int) -> str:
        """Return `text`, or its longest prefix of at most `limit` tokens."""


class EstimateCutter:
    """Counts by the estimate of `token_estimate`; truncates at word borders."""

    name = "an estimate from the characters (--tokenizer counts exactly)"

    def bound(self, text: str) -> int:
        """Return the number of characters, each of which counts at most one token."""
        return len(text)

    def count(self, text: str, most: int | None = None) -> int:
        """Return the estimated tokens."""
        return estimate_tokens(text)

    def cut(self, text: str, limit: int) -> str:
        """Return the longest prefix at a word border."""
        return cut_to_estimate(text, limit)


@dataclass(frozen=True)
class LengthCaps:
    """Length limits of a row's texts.

    Attributes:
        document_tokens: longer documents, including the title, are truncated; 0 for no limit.
        pair_tokens: longer pairs of query and truncated document are dropped; 0 for no limit.
        document_words: longer documents are dropped; None for no limit.
    """

    cutter: TokenCutter
    document_tokens: int = 0
    pair_tokens: int = 0
    document_words: int | None = None

    def drop_reason(self, row: Row) -> str | None:
        """Return why `row` is too long; None where it is not. Short texts are never tokenized."""
        text, most = document_text(row), self.document_words
        if most is not None and len(text) > most and len(words(text)) > most:
            return f"document over {most} words"
        if self.pair_tokens and not self._surely_fits(row["query"], text):
            parts = (row["query"], self._cut(text))
            if sum(self.cutter.count(part, self.pair_tokens) for part in parts) > self.pair_tokens:
                return f"pair over {self.pair_tokens:,} tokens"
        return None

    def cut(self, row: Row) -> bool:
        """Truncate the row's document in place; return True where it was too long.

        The doc_id stays that of the full document, and is added where it was absent. Where the
        title alone is too long, its beginning becomes the document.
        """
        text = document_text(row)
        prefix = self._cut(text)
        if prefix == text:
            return False
        row["doc_id"] = doc_id(row)
        document = prefix[len(text) - len(row["document"]) :]
        if not document:  # the title alone is too long
            row["title"] = ""
        row["document"] = document or prefix
        return True

    def summary(self) -> dict[str, object]:
        """Return the limits in words; {} where no tokens are counted."""
        limits = []
        if self.document_tokens:
            limits.append(f"documents cut to {self.document_tokens:,} tokens")
        if self.pair_tokens:
            limits.append(f"pairs over {self.pair_tokens:,} tokens dropped")
        return {"lengths": f"{', '.join(limits)}, by {self.cutter.name}"} if limits else {}

    def _cut(self, text: str) -> str:
        if not self.document_tokens or self.cutter.bound(text) <= self.document_tokens:
            return text
        return self.cutter.cut(text, self.document_tokens)

    def _surely_fits(self, query: str, document: str) -> bool:
        longest = self.cutter.bound(document)
        if self.document_tokens:
            longest = min(longest, self.document_tokens)
        return self.cutter.bound(query) + longest <= self.pair_tokens
