"""Prompts and targets as token ids, such that untrusted text can never speak as the template.

The control tokens of a prompt come from the template alone. Query and document go through a copy of
the tokenizer that knows no added token, special or not, so `<|im_end|>` or `<think>` in a text is
spelled out in ordinary tokens; a last check holds the result against all control ids. Clean text
gets exactly the ids of tokenizing the whole prompt in one go: both texts are cut from the template
in front of a space, which the pre-tokenizers of byte-level models never join to what is before it,
and with which no character composes (NFC).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from prism_cli.domain.prompting import CHAT_END, Profile
from prism_cli.domain.targets import render_target
from prism_cli.errors import ModelError, RowError
from prism_cli.modeling.leading import bare_tokenizer, leading_ids

MAX_TOKENS = 10_240
"""Prompt tokens at inference, as published (training: 8,192)."""
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
    """A prompt's token ids in two parts.

    Attributes:
        prefix_ids: the prompt up to the document; the same object for all documents of a query.
        tail_ids: the document, cut where needed, and the suffix; of no query unless cut.
        truncated: True where document tokens were left out.
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
        max_tokens: tokens of a prompt at the most; the document is cut, never the suffix.

    Attributes:
        yes_id, no_id, eos_id: the verdict tokens, and the end of the assistant's turn.
        control_ids: ids that no text can produce.

    Raises:
        ModelError: the tokenizer cannot carry the profile (a verdict of several tokens, no ChatML
            tokens, or merges across the template's seams).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, profile: Profile, max_tokens: int = MAX_TOKENS
    ) -> None:
        self.tokenizer = tokenizer
        self.profile = profile
        self.max_tokens = max_tokens
        backend = fast_backend(tokenizer, f"tokenizer {_name(tokenizer)}")
        self._whole = bare_tokenizer(backend, keep_added=True)
        self._plain = bare_tokenizer(backend, keep_added=False)
        self.control_ids = frozenset(backend.get_added_tokens_decoder())
        # Texts are pre-tokenized with the space that the template has in front of them.
        head, self._before_query = profile.before_query[:-1], profile.before_query[-1:]
        self._between, self._lead = profile.before_document[:-1], profile.before_document[-1:]
        self._head_ids: list[int] = self._whole.encode(head, add_special_tokens=False).ids
        self._suffix_ids: list[int] = self._whole.encode(
            profile.suffix, add_special_tokens=False
        ).ids
        around = len(self._head_ids) + len(self._suffix_ids)
        self._most = max(1, max_tokens - around) + 1
        """Of a text's tokens: one more than any prompt has room for."""
        self.eos_id = self._control(CHAT_END)
        self._control("<|im_start|>")
        self.yes_id, self.no_id = self._verdict("yes"), self._verdict("no")
        self._prefixes: dict[str, list[int]] = {}
        self._check_seams()

    def encode(self, query: str, document: str) -> EncodedPrompt:
        """One prompt.

        Raises:
            RowError: the query leaves no room for a document; carries the field `query`.
        """
        return self.join(query, self.document_ids([document])[0])

    def text(self, query: str, document: str) -> str:
        """The prompt with query and document verbatim and uncut."""
        return self.profile.prompt(query, document)

    def ids(self, query: str, document: str) -> list[int]:
        """The prompt's token ids.

        Raises:
            RowError: as `encode`.
        """
        return self.encode(query, document).ids

    def encode_batch(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPrompt]:
        """Many (query, document) pairs at once, on all cores.

        Raises:
            RowError: as `encode`, for the first pair that has no room.
        """
        documents = self.document_ids([document for _, document in pairs])
        return [self.join(query, ids) for (query, _), ids in zip(pairs, documents, strict=True)]

    def encode_each(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPrompt | RowError]:
        """As `encode_batch`, with the error in the place of a prompt that cannot be."""
        results: list[EncodedPrompt | RowError] = []
        for (query, _), document in zip(
            pairs, self._leads([text for _, text in pairs]), strict=True
        ):
            try:
                results.append(self.join(query, self._checked(document, "document")))
            except RowError as error:
                results.append(error)
        return results

    def prefix_ids(self, query: str) -> list[int]:
        """The prompt up to the document; do not change it, it is shared.

        Raises:
            RowError: the query leaves no room for a document.
        """
        ids = self._prefixes.get(query)
        if ids is None:
            text = f"{self._before_query}{query}{self._between}"
            (own,) = self._each([text])
            ids = self._head_ids + self._checked(own, "query")
            room = self.max_tokens - len(self._suffix_ids) - 1
            if len(ids) > room:
                least = "at least " if own is not None and len(own) == self._most else ""
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
        """Each document's own tokens without the suffix, the same for every query; of a long one
        the first, one more than any prompt has room for."""
        return [self._checked(ids, "document") for ids in self._leads(documents)]

    def encode_target(
        self, verdict: str, contribution: str | None = None, evidence: str | None = None
    ) -> list[int]:
        """What follows the prompt in training: verdict token, texts, end of turn.

        Raises:
            RowError: the verdict is neither "yes" nor "no", or a text of a "yes" is blank.
        """
        text = render_target(verdict, contribution, evidence)
        ids = self._checked(self._ids(text, len(text.encode("utf-8", "surrogatepass"))), "evidence")
        if ids[0] != (self.yes_id if verdict == "yes" else self.no_id):
            raise RowError("contribution", "merges with the verdict into another token")
        return [*ids, self.eos_id]

    def join(self, query: str, document_ids: list[int]) -> EncodedPrompt:
        """The prompt of a query and of one of `document_ids`, which is cut where it must be.

        Raises:
            RowError: as `encode`.
        """
        prefix = self.prefix_ids(query)
        room = self.max_tokens - len(prefix) - len(self._suffix_ids)
        truncated = len(document_ids) > room
        return EncodedPrompt(prefix, document_ids[:room] + self._suffix_ids, truncated)

    def _leads(self, documents: Sequence[str]) -> list[list[int] | None]:
        """As `_each`, of each document behind the template's space."""
        return self._each([self._lead + document for document in documents])

    def _each(self, texts: Sequence[str]) -> list[list[int] | None]:
        """The first ids of each text; None where it is no Unicode."""
        try:
            return list(leading_ids(self._plain, texts, self._most))
        except TypeError:
            return [self._ids(text, self._most) for text in texts]

    def _ids(self, text: str, limit: int) -> list[int] | None:
        try:
            return leading_ids(self._plain, [text], limit)[0]
        except TypeError:
            text.encode("utf-8", "surrogatepass")  # not a string at all: the caller's mistake
            return None

    def _checked(self, ids: list[int] | None, field: str) -> list[int]:
        if ids is None:
            raise RowError(field, "is not Unicode: it holds a lone surrogate")
        if not self.control_ids.isdisjoint(ids):
            raise RowError(
                field, "holds text that this tokenizer can only write as a control token"
            )
        return ids

    def _verdict(self, word: str) -> int:
        ids: list[int] = self._plain.encode(word).ids
        behind = self._whole.encode(self.profile.suffix + word, add_special_tokens=False).ids
        if len(ids) != 1 or behind[-1:] != ids:
            raise ModelError(
                f"tokenizer {_name(self.tokenizer)}: expected {word!r} to be one token, the same "
                f"alone and behind the prompt, found {ids} and {behind[-1:]}; a reranker reads its "
                "score from that token. Choose a byte-level BPE model (Qwen, SmolLM2, Llama 3)"
            )
        return ids[0]

    def _control(self, text: str) -> int:
        ids = self._whole.encode(text, add_special_tokens=False).ids
        if len(ids) != 1 or ids[0] not in self.control_ids:
            raise ModelError(
                f"tokenizer {_name(self.tokenizer)}: expected the control token {text}, which the "
                f"profile {self.profile.name} needs; choose a ChatML model"
            )
        return int(ids[0])

    def _check_seams(self) -> None:
        for query, document in _PROBES:
            whole = self._whole.encode(
                self.profile.prompt(query, document), add_special_tokens=False
            ).ids
            parts = (
                self._head_ids
                + self._plain.encode(f"{self._before_query}{query}{self._between}").ids
                + self._plain.encode(self._lead + document).ids
                + self._suffix_ids
            )
            if whole != parts:
                raise ModelError(
                    f"tokenizer {_name(self.tokenizer)}: merges text across the seams of profile "
                    f"{self.profile.name}, so that query and document have no ids of their own; "
                    "choose a byte-level BPE model (Qwen, SmolLM2, Llama 3)"
                )


def fast_backend(tokenizer: PreTrainedTokenizerBase, what: str) -> Tokenizer:
    """The tokenizer behind transformers' own.

    Args:
        what: names it in the message.

    Raises:
        ModelError: there is none.
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
