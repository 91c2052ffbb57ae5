"""Prompt profiles: the text before and after query and document, byte for byte.

Weights depend on every byte, so a model directory stores its profile and the profile's hash.
Source: arXiv 2604.23734 and its author's training script (`prism`); the Qwen3-Reranker model card.
"""

from dataclasses import dataclass, replace
from hashlib import sha256

from prism_cli.errors import UsageError

CHAT_END = "<|im_end|>"
_JUDGE = "Judge whether the Document meets the requirements based on the Query and the Instruct"
_NO_THINK = "<|im_start|>assistant\n"
_EMPTY_THINK = _NO_THINK + "<think>\n\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Profile:
    """A prompt template: system, instruct, query, document, in raw ChatML.

    Attributes:
        name: name in prism.json and for `--profile`.
        system: the system sentence.
        instruct: the task, before the query.
        assistant: the text after the document's turn; the next token is the verdict.
    """

    name: str
    system: str
    instruct: str
    assistant: str

    @property
    def before_query(self) -> str:
        """The prompt up to the query."""
        return (
            f"<|im_start|>system\n{self.system}{CHAT_END}\n"
            f"<|im_start|>user\n<Instruct>: {self.instruct}\n<Query>: "
        )

    @property
    def before_document(self) -> str:
        """The text between query and document."""
        return "\n<Document>: "

    @property
    def suffix(self) -> str:
        """The text after the document; never truncated, since it fixes the verdict's position."""
        return f"{CHAT_END}\n{self.assistant}"

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the template's bytes, with {query} and {document} in their places."""
        return sha256(self.prompt("{query}", "{document}").encode()).hexdigest()

    def prefix(self, query: str) -> str:
        """Return the prompt up to the document: the same for all documents of a query."""
        return f"{self.before_query}{query}{self.before_document}"

    def prompt(self, query: str, document: str) -> str:
        """Return the complete prompt, with query and document verbatim."""
        return f"{self.prefix(query)}{document}{self.suffix}"

    def with_instruct(self, instruct: str) -> "Profile":
        """Return the same template with another task, and so another hash."""
        return replace(self, instruct=instruct)


_PRISM_INSTRUCT = (
    "Given a query and a document, judge whether the document is relevant to the query. "
    'Answer "yes" or "no", then provide in XML:\n'
    "1. <contribution>: what the document contributes to the query.\n"
    "2. <evidence>: a self-contained rewrite of relevant content."
)
PRISM = Profile("prism", f"{_JUDGE} provided. ", _PRISM_INSTRUCT, _EMPTY_THINK)
PRISM_NO_THINK = Profile("prism-no-think", f"{_JUDGE} provided. ", _PRISM_INSTRUCT, _NO_THINK)
QWEN3_RERANKER = Profile(
    "qwen3-reranker",
    f'{_JUDGE} provided. Note that the answer can only be "yes" or "no".',
    "Given a web search query, retrieve relevant passages that answer the query",
    _EMPTY_THINK,
)
PROFILES = {profile.name: profile for profile in (PRISM, PRISM_NO_THINK, QWEN3_RERANKER)}


def profile_named(name: str) -> Profile:
    """Return the profile with this name.

    Raises:
        UsageError: there is no such profile.
    """
    if name not in PROFILES:
        raise UsageError(f"profile {name!r}: unknown; one of {', '.join(PROFILES)}")
    return PROFILES[name]
