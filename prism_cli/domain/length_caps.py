"""How long a document and a pair may be: the one is cut, the other left out.

Tokens are those of the text alone; the prompt around it is not counted.
"""

from dataclasses import dataclass
from typing import Protocol

from prism_cli.domain.token_estimate import cut_to_estimate, estimate_tokens
from prism_cli.domain.words import words
from prism_cli.rows.row import Row, doc_id, document_text


class TokenCutter(Protocol):
    """Counts tokens, and cuts by them."""

    @property
    def name(self) -> str:
        """What counts, for the summary."""

    def bound(self, text: str) -> int:
        """Never fewer than `count`, told from the length alone."""

    def count(self, text: str, most: int | None = None) -> int:
        """Tokens of `text`; with `most`, any number above it stands for all that are."""

    def cut(self, text: str, limit: int) -> str:
        """`text`, or its longest prefix of at most `limit` tokens."""


class EstimateCutter:
    """The estimate of `token_estimate`; cuts at word borders."""

    name = "an estimate from the characters (--tokenizer counts truly)"

    def bound(self, text: str) -> int:
        """Its characters, none of which counts more than one token."""
        return len(text)

    def count(self, text: str, most: int | None = None) -> int:
        """Estimated tokens."""
        return estimate_tokens(text)

    def cut(self, text: str, limit: int) -> str:
        """The longest prefix at a word border."""
        return cut_to_estimate(text, limit)


@dataclass(frozen=True)
class LengthCaps:
    """Limits of a row's texts.

    Attributes:
        document_tokens: longer documents, title included, are cut; 0 for no limit.
        pair_tokens: pairs that are longer, query and cut document together, are left out; 0 for no
            limit.
        document_words: longer documents are left out; None for no limit.
    """

    cutter: TokenCutter
    document_tokens: int = 0
    pair_tokens: int = 0
    document_words: int | None = None

    def refusal(self, row: Row) -> str | None:
        """Why `row` is too long; None where it is not. Short texts are never tokenized."""
        text, most = document_text(row), self.document_words
        if most is not None and len(text) > most and len(words(text)) > most:
            return f"document over {most} words"
        if self.pair_tokens and not self._surely_fits(row["query"], text):
            parts = (row["query"], self._cut(text))
            if sum(self.cutter.count(part, self.pair_tokens) for part in parts) > self.pair_tokens:
                return f"pair over {self.pair_tokens:,} tokens"
        return None

    def cut(self, row: Row) -> bool:
        """Cut the row's document where it is too long, in place; True where it was.

        Its doc_id stays what it was before, and is written where it was absent.
        """
        text = document_text(row)
        kept = self._cut(text)
        if kept == text:
            return False
        row["doc_id"] = doc_id(row)
        row["document"] = kept[len(text) - len(row["document"]) :]
        return True

    def summary(self) -> dict[str, object]:
        """The limits in words; nothing where no tokens are counted."""
        told = []
        if self.document_tokens:
            told.append(f"documents cut to {self.document_tokens:,} tokens")
        if self.pair_tokens:
            told.append(f"pairs over {self.pair_tokens:,} tokens dropped")
        return {"lengths": f"{', '.join(told)}, by {self.cutter.name}"} if told else {}

    def _cut(self, text: str) -> str:
        if not self.document_tokens or self.cutter.bound(text) <= self.document_tokens:
            return text
        return self.cutter.cut(text, self.document_tokens)

    def _surely_fits(self, query: str, document: str) -> bool:
        longest = self.cutter.bound(document)
        if self.document_tokens:
            longest = min(longest, self.document_tokens)
        return self.cutter.bound(query) + longest <= self.pair_tokens
