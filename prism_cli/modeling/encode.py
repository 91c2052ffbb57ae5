"""Encode prompts and targets; untrusted text can never produce control tokens.

The control tokens of a prompt come only from the template. Query and document are encoded by a copy
of the tokenizer without added tokens, special or not, so `<|im_end|>` or `<think>` in a text
becomes ordinary tokens; a last check compares the result with all control ids. Clean text gets the
ids of tokenizing the whole prompt at once: both texts are split from the template before a space,
which the pre-tokenizers of byte-level models never join to what precedes it, and with which no
character composes (NFC).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from prism_cli.domain.defaults import MAX_TOKENS
from prism_cli.domain.prompting import CHAT_END, Profile
from prism_cli.domain.targets import render_target
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.first_tokens import (
    bare_tokenizer,
    beginning,
    leading_ids,
    tokenizer_digest,
)

_CACHED_QUERIES = 4096
_PROBES = (
    ("capital of France?", "Paris is the capital."),
    ("q\n", "\n\ndocument \n"),
    (" ¿qué? ", "  «文書» é"),
    ("1 2 3:", ": !?"),
    ("\u0301e\u0301\r\n", "\u0338=\u0338 \u200d\r\n \u0338"),
    ("x", ""),
)


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """The token ids of a prompt in two parts.

    Attributes:
        prefix_ids: the prompt up to the document; the same object for all documents of a query.
        tail_ids: the document, truncated if needed, and the suffix; the same for every query unless
            truncated.
        truncated: True if the document was truncated.
    """

    prefix_ids: list[int]
    tail_ids: list[int]
    truncated: bool

    @property
    def ids(self) -> list[int]:
        """The whole prompt."""
        return self.prefix_ids + self.tail_ids

    def __len__(self) -> int:
        return len(self.prefix_ids) + len(self.tail_ids)


class PromptEncoder:
    """Encodes prompts of one profile for one tokenizer.

    Args:
        tokenizer: a fast tokenizer.
        profile: the template.
        max_tokens: maximum tokens of a prompt; the document is truncated, never the suffix.

    Attributes:
        yes_id, no_id, eos_id: the verdict tokens and the end of the assistant's turn.
        control_ids: ids that no text can produce.
        vocabulary: one more than the highest id of a prompt.

    Raises:
        ModelError: the tokenizer does not fit the profile (a verdict of several tokens, no ChatML
            tokens, or merges across the template's boundaries).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, profile: Profile, max_tokens: int = MAX_TOKENS
    ) -> None:
        self.tokenizer = tokenizer
        self.profile = profile
        self.max_tokens = max_tokens
        backend = fast_backend(tokenizer, f"tokenizer {_name(tokenizer)}")
        self._with_added = bare_tokenizer(backend, keep_added=True)
        self._plain = bare_tokenizer(backend, keep_added=False)
        self.control_ids = frozenset(backend.get_added_tokens_decoder())
        # Texts are pre-tokenized with the space before them in the template.
        head, self._before_query = profile.before_query[:-1], profile.before_query[-1:]
        self._between, self._lead = profile.before_document[:-1], profile.before_document[-1:]
        self._head_ids: list[int] = self._with_added.encode(head, add_special_tokens=False).ids
        self._suffix_ids: list[int] = self._with_added.encode(
            profile.suffix, add_special_tokens=False
        ).ids
        around = len(self._head_ids) + len(self._suffix_ids)
        self._text_limit = max(1, max_tokens - around) + 1
        """Maximum tokens encoded of a text: one more than fit into any prompt."""
        self.eos_id = self._control(CHAT_END)
        self._control("<|im_start|>")
        self.yes_id, self.no_id = self._verdict("yes"), self._verdict("no")
        # Added tokens count only if the template has them: checkpoints often pad with unused ones.
        used = (*self._head_ids, *self._suffix_ids, self.eos_id, self.yes_id, self.no_id)
        self.vocabulary = max(backend.get_vocab_size(with_added_tokens=False), 1 + max(used))
        self._prefixes: dict[str, list[int]] = {}
        self._check_boundaries()

    @cached_property
    def fingerprint(self) -> str:
        """All that decides the token ids of a prompt: tokenizer, template and maximum length."""
        return f"{self.profile.hash} {tokenizer_digest(self._with_added)} {self.max_tokens}"

    def encode(self, query: str, document: str) -> EncodedPrompt:
        """Encode one prompt.

        Raises:
            RowError: the query leaves no room for a document; its field is `query`.
        """
        return self.join(query, self.document_ids([document])[0])

    def text(self, query: str, document: str) -> str:
        """Return the prompt as text, not truncated."""
        return self.profile.prompt(query, document)

    def ids(self, query: str, document: str) -> list[int]:
        """Return the prompt's token ids.

        Raises:
            RowError: as `encode`.
        """
        return self.encode(query, document).ids

    def encode_batch(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPrompt]:
        """Encode (query, document) pairs on all cores.

        Raises:
            RowError: as `encode`, for the first pair without room.
        """
        documents = self.document_ids([document for _, document in pairs])
        return [self.join(query, ids) for (query, _), ids in zip(pairs, documents, strict=True)]

    def encode_each(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPrompt | RowError]:
        """Encode pairs like `encode_batch`; a prompt that fails is replaced by its error."""
        results: list[EncodedPrompt | RowError] = []
        for (query, _), document in zip(
            pairs, self._documents([text for _, text in pairs]), strict=True
        ):
            try:
                results.append(self.join(query, self._checked(document, "document")))
            except RowError as error:
                results.append(error)
        return results

    def prefix_ids(self, query: str) -> list[int]:
        """Return the ids up to the document; shared, so do not modify them.

        Raises:
            RowError: the query leaves no room for a document.
        """
        ids = self._prefixes.get(query)
        if ids is None:
            text = f"{self._before_query}{query}{self._between}"
            (query_ids,) = self._each([text])
            ids = self._head_ids + self._checked(query_ids, "query")
            room = self.max_tokens - len(self._suffix_ids) - 1
            if len(ids) > room:
                cut = query_ids is not None and len(query_ids) == self._text_limit
                least = "at least " if cut else ""
                raise RowError(
                    "query",
                    f"expected a prompt of at most {self.max_tokens} tokens with room for the "
                    f"document, found {least}{len(ids) + len(self._suffix_ids)} without it",
                )
            if len(self._prefixes) >= _CACHED_QUERIES:
                self._prefixes.clear()
            self._prefixes[query] = ids
        return ids

    def document_ids(self, documents: Sequence[str]) -> list[list[int]]:
        """Return each document's tokens without the suffix, the same for every query.

        A long document is cut to one token more than fits into any prompt.
        """
        return [self._checked(ids, "document") for ids in self._documents(documents)]

    def room(self, query: str) -> int:
        """Return the most tokens of a document beside the query.

        Raises:
            RowError: as `encode`.
        """
        return self.max_tokens - len(self.prefix_ids(query)) - len(self._suffix_ids)

    def token_starts(self, document: str, most: int | None = None) -> list[int]:
        """Return the first character of each token of a whole document.

        Args:
            most: tokens that are needed; of a long document no many more are computed.

        Raises:
            RowError: it is not Unicode.
        """
        lead = len(self._lead)
        try:
            text = self._lead + document
            text = text if most is None else beginning(self._plain, text, most)
            encoding = self._plain.encode(text, add_special_tokens=False)
        except TypeError:
            self._checked(None, "document")
            raise
        return [max(0, start - lead) for start, _ in encoding.offsets]

    def encode_target(
        self, verdict: str, contribution: str | None = None, evidence: str | None = None
    ) -> list[int]:
        """Encode the training target: verdict token, texts, end of turn.

        Raises:
            RowError: the verdict is neither "yes" nor "no", or a text of a "yes" is blank.
        """
        text = render_target(verdict, contribution, evidence)
        ids = self._checked(self._ids(text, len(text.encode("utf-8", "surrogatepass"))), "evidence")
        if ids[0] != (self.yes_id if verdict == "yes" else self.no_id):
            raise RowError("contribution", "merges with the verdict into another token")
        return [*ids, self.eos_id]

    def join(self, query: str, document_ids: list[int]) -> EncodedPrompt:
        """Join a query with the ids of one document, from `document_ids`; truncate if needed.

        Raises:
            RowError: as `encode`.
        """
        prefix, room = self.prefix_ids(query), self.room(query)
        truncated = len(document_ids) > room
        return EncodedPrompt(prefix, document_ids[:room] + self._suffix_ids, truncated)

    def _documents(self, documents: Sequence[str]) -> list[list[int] | None]:
        """Encode each document with the template's space before it; None if it is not Unicode."""
        return self._each([self._lead + document for document in documents])

    def _each(self, texts: Sequence[str]) -> list[list[int] | None]:
        """Return the first ids of each text; None if it is not Unicode."""
        try:
            return list(leading_ids(self._plain, texts, self._text_limit))
        except TypeError:
            return [self._ids(text, self._text_limit) for text in texts]

    def _ids(self, text: str, limit: int) -> list[int] | None:
        try:
            return leading_ids(self._plain, [text], limit)[0]
        except TypeError:
            text.encode(
                "utf-8", "surrogatepass"
            )  # raises if it is not a string: a bug of the caller
            return None

    def _checked(self, ids: list[int] | None, field: str) -> list[int]:
        if ids is None:
            raise RowError(field, "is not Unicode: it holds a lone surrogate")
        if not self.control_ids.isdisjoint(ids):
            raise RowError(
                field, "holds text that this tokenizer can only encode as a control token"
            )
        return ids

    def _verdict(self, word: str) -> int:
        ids: list[int] = self._plain.encode(word).ids
        joined = self._with_added.encode(self.profile.suffix + word, add_special_tokens=False).ids
        if len(ids) != 1 or joined[-1:] != ids:
            raise ModelError(
                f"tokenizer {_name(self.tokenizer)}: expected {word!r} to be one token, the same "
                f"alone and behind the prompt, found {ids} and {joined[-1:]}; a reranker reads its "
                "score from that token. Choose a byte-level BPE model (Qwen, SmolLM2, Llama 3)"
            )
        return ids[0]

    def _control(self, text: str) -> int:
        ids = self._with_added.encode(text, add_special_tokens=False).ids
        if len(ids) != 1 or ids[0] not in self.control_ids:
            raise ModelError(
                f"tokenizer {_name(self.tokenizer)}: expected the control token {text}, which the "
                f"profile {self.profile.name} needs; choose a ChatML model"
            )
        return int(ids[0])

    def _check_boundaries(self) -> None:
        for query, document in _PROBES:
            joint = self._with_added.encode(
                self.profile.prompt(query, document), add_special_tokens=False
            ).ids
            parts = (
                self._head_ids
                + self._plain.encode(f"{self._before_query}{query}{self._between}").ids
                + self._plain.encode(self._lead + document).ids
                + self._suffix_ids
            )
            if joint != parts:
                raise ModelError(
                    f"tokenizer {_name(self.tokenizer)}: merges text across the boundaries of "
                    f"profile {self.profile.name}, so query and document have no separate ids; "
                    "choose a byte-level BPE model (Qwen, SmolLM2, Llama 3)"
                )


def fast_backend(tokenizer: PreTrainedTokenizerBase, what: str) -> Tokenizer:
    """Return the `tokenizers.Tokenizer` of a transformers tokenizer.

    Args:
        what: the tokenizer's name in messages.

    Raises:
        ModelError: it is not a fast tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            f"{what}: expected a fast tokenizer (tokenizer.json), found "
            f"{type(tokenizer).__name__}; convert it with transformers' save_pretrained first"
        )
    return backend


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
