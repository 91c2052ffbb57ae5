"""Queries from an instruction: the prompt, the parser of replies, and the filter for queries.

A call asks for a few queries of one style and lists the earlier ones, so that the model writes
different ones. Its question depends on the instruction and the earlier replies, which the ledger
stores: a rerun asks the same question.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

from prism_cli.domain.chat import Prompt, UnusableReplyError
from prism_cli.domain.keywords import MAX_KEYWORDS
from prism_cli.domain.languages import other_language
from prism_cli.domain.markup import unescaped
from prism_cli.domain.near_duplicates import (
    THRESHOLD,
    jaccard,
    loose_query_shingles,
    normalised,
    numbers_in,
)
from prism_cli.domain.token_estimate import estimate_tokens
from prism_cli.domain.words import count_words
from prism_cli.rows.row import json_type
from prism_cli.rows.texts import is_blank

CALL_QUERIES = 10
"""Most queries per call: in longer lists the end repeats the beginning."""
MAX_TOLD = 60
"""Most earlier queries that a call lists, the newest, since each costs tokens."""
MAX_QUERY_TOKENS = 120
"""Length of the longest query that is kept (estimated tokens)."""
TEMPERATURES = (0.8, 0.6, 1.0)
"""Sampling temperature by attempt: lower after an invalid form, then higher than at first."""

EXACT, NEAR = "the same as an earlier one", "nearly the same as an earlier one"
"""Reasons for dropping a query, within a row and over all rows."""

_MOST_ARRAYS = 8
"""Opening brackets of a reply at which its array is looked for."""
_TAG = re.compile(r"</?[A-Za-z|][^<>]*>|<\|")
_MARKDOWN = re.compile(r"```|\*\*\S|^#+ |^[-*•] |\]\(")
_QUESTION_MARKS = ("?", "？", "؟")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACED = "\ufffd"
_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Cn"}
_JOINERS = "\u200c\u200d"
"""Zero-width characters of the orthography of Persian and Hindi, and of emoji."""

INSTRUCTION = """\
You write search queries. An instruction says who searches and for what; you write what these \
people type, each query as another person in another case would word it.

Answer with one JSON array of strings, a query each, and with nothing before or behind it:
["one query", "another query"]

- Each query stands alone: whoever reads nothing else knows what is looked for.
- Queries differ in what they look for, and not only in their words. Together they cover the \
breadth of the instruction: what is common and what is rare, beginners and experts, general \
matters and single cases with their names, numbers and places.
- A query answers nothing, and speaks neither of the instruction nor of these rules.
- A query is plain text on one line: no number before it, no markdown, no tags.
- Write in the language that is named. Where none is named, write in the one that the instruction \
asks for, else in that of the instruction.
- Where queries are listed that were written before, look for something that none of them does.
"""


@dataclass(frozen=True, slots=True)
class Style:
    """A form of query.

    Attributes:
        told: the description in the prompt. The fingerprint has the names of these fields.
        tokens: generous number of answer tokens per query.
        name: value of the row's query_style.
    """

    told: str
    tokens: int
    name: str = "original"


STYLES = {
    "question": Style("questions in full, of 5 to 25 words, as one asks a person", 48),
    "keyword": Style(
        f"keywords, 2 to {MAX_KEYWORDS} words with blanks between them, as typed into a search "
        "box: no sentence, no question mark",
        24,
        "keyword",
    ),
    "situation": Style(
        "one or two sentences, of 20 to 50 words, that describe a case, what is special about it, "
        "and what is needed",
        96,
    ),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One call.

    Attributes:
        language: its English name, or the user's name for it; "" for none.
        style: a key of STYLES.
        count: number of queries.
        earlier: earlier queries.
        series: the seed: another one gives other queries.
    """

    instruction: str
    language: str
    style: str
    count: int
    earlier: tuple[str, ...] = ()
    series: int = 0


def question(ask: Ask) -> str:
    """Return the prompt after the constant instruction: all that determines the reply."""
    lines = [f"Instruction: {ask.instruction}", f"Series of queries: {ask.series}"]
    if ask.language:
        lines.append(f"Language of the queries: {ask.language}")
    if ask.earlier:
        earlier = json.dumps(ask.earlier, ensure_ascii=False)
        lines.append(f"Queries written before: {earlier}")
    lines.append(f"Write {ask.count} new queries, all of this form: {STYLES[ask.style].told}.")
    return "\n\n".join(lines)


class SynthesisTask:
    """The chat task: queries for an instruction; the payload is an `Ask`."""

    name = "synthesize"
    fingerprint = sha256(
        f"reading 1\0{INSTRUCTION}\0{STYLES}\0{TEMPERATURES}".encode()
    ).hexdigest()[:16]

    def prompt(self, payload: Any, attempt: int) -> Prompt:
        """Return the question, after an instruction that is the same for all rows."""
        return Prompt(
            INSTRUCTION.strip(),
            question(payload),
            16 + payload.count * STYLES[payload.style].tokens,
            TEMPERATURES[min(attempt, len(TEMPERATURES) - 1)],
        )

    def read(self, payload: Any, text: str) -> dict[str, Any]:
        """Return {"queries": [str]} with entities unescaped: the first JSON array of strings that
        is not empty, whatever surrounds it.

        Raises:
            UnusableReplyError: none of the first _MOST_ARRAYS brackets opens such an array; says
                what the first one opens.
        """
        reasons: list[str] = []
        for bracket in islice(re.finditer(r"\[", text), _MOST_ARRAYS):
            try:
                entries, _ = json.JSONDecoder().raw_decode(text, bracket.start())
            except (ValueError, RecursionError):  # ValueError: also a number of 4,301 digits
                entries = []
            others = [entry for entry in entries if not isinstance(entry, str)]
            if entries and not others:
                break
            reasons.append(
                f"expected strings in the array, found {json_type(others[0])}"
                if others
                else "expected a JSON array of strings, found an empty or torn one"
            )
        else:
            none = "expected a JSON array of strings, found none"
            raise UnusableReplyError(reasons[0] if reasons else none)
        plain = (unescaped(query, question(payload)) for query in entries)
        return {"queries": [_LONE_SURROGATE.sub(_REPLACED, query) for query in plain]}


def fault(ask: Ask, value: Mapping[str, Any]) -> str | None:
    """Return why a parsed reply is retried: none of its queries is usable. None where one is."""
    queries = value["queries"]
    if difference := other_language("\n".join(queries), ask.language):
        return f"queries in another language: {difference}"
    reasons = [reason for _, reason in sifted(ask, queries)]
    return None if "" in reasons else f"no query to keep: {reasons[0]}"


def sifted(ask: Ask, queries: Sequence[str]) -> list[tuple[str, str]]:
    """Return every query with single white space, and the reason for dropping it ("" for none)."""
    cleaned = (" ".join(query.split()) for query in queries)
    return [
        (query, _reason(ask, query) if place < ask.count else "more than were asked for")
        for place, query in enumerate(cleaned)
    ]


class Earlier:
    """The instruction and earlier queries of one row.

    Two queries are near-duplicates if their shingles are, and they have the same numbers.
    `shards.text_groups` applies the same rule to all rows.
    """

    def __init__(self, instruction: str) -> None:
        self._plain: set[str] = set()
        self._shingles: list[tuple[str, set[int]]] = []
        self.reason(instruction)

    def reason(self, query: str) -> str:
        """Return the reason for dropping a query; "" for a new one, which is added."""
        plain = normalised(query)
        if plain in self._plain:
            return EXACT
        numbers, shingles = numbers_in(plain), set(loose_query_shingles(plain).tolist())
        for other_numbers, other in self._shingles:
            if other_numbers == numbers and jaccard(shingles, other) >= THRESHOLD:
                return NEAR
        self._plain.add(plain)
        self._shingles.append((numbers, shingles))
        return ""


def shares(count: int, styles: Sequence[str], first: int) -> dict[str, int]:
    """Return the queries per style: as even as possible, the remainder from `first` on."""
    turned = [*styles[first % len(styles) :], *styles[: first % len(styles)]]
    return {
        style: share
        for place, style in enumerate(turned)
        if (share := count // len(turned) + (place < count % len(turned)))
    }


def _reason(ask: Ask, query: str) -> str:
    if is_blank(query) or not any(map(str.isalnum, query)):
        return "empty"
    if _REPLACED in query or any(
        unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS for sign in query
    ):
        return "control characters"
    if _TAG.search(query) or _MARKDOWN.search(query):
        return "markup"
    if estimate_tokens(query) > MAX_QUERY_TOKENS:
        return "too long"
    if ask.style == "keyword" and (
        count_words(query) > MAX_KEYWORDS or query.endswith(_QUESTION_MARKS)
    ):
        return "no keywords"
    return "another language" if other_language(query, ask.language) else ""
