"""Evidence from a document's own sentences, and a contribution from the best one, by rules.

A standard baseline, and the generator that needs no network: every word of the evidence is in the
document.
"""

import re
from collections.abc import Sequence

from prism_cli.domain.languages import latin_language
from prism_cli.domain.sentences import sentence_spans
from prism_cli.domain.words import last_boundary

MAX_CONTRIBUTION_WORDS = 25
MAX_CONTRIBUTION_CHARS = 70
"""Limit for a contribution in a script without spaces."""
MIN_RELATIVE_CLOSENESS = 0.5
"""Least closeness of a further sentence, as a share of the best one's."""
MAX_SCORE_GAP = 0.5
"""Most that the score of a further selected sentence is below the best one's, as a logit."""
MAX_CANDIDATES = 256
"""Most sentences of a document that are compared; those that share most words with the query."""

_LOWERED = frozenset(
    str.split(
        "a above according across after all along also although among an and another any around "
        "as at because before below between beyond both but by despite due during each either "
        "even every few following for from he her here his how however if in inside instead into "
        "it its many more most much near neither no none nor not of off on once one only or other "
        "our out outside over per several she since so some such than that the their then there "
        "therefore these they this those three through throughout thus to today together too two "
        "under unlike until upon we what whatever when where whether which while who why with "
        "within without you your"
    )
)
"""Words that are written in lower case within a sentence."""
_ALSO_NAMES = frozenset(
    str.split(
        "april august bill china daisy dawn faith frank grace hope ivory jack jean june lily march "
        "mark may mercury nice norman penny pole polish rob rose sue swede turkey venus victor "
        "will"
    )
)
"""Names that are ordinary words, too: their first letter is kept."""
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f]")
_FIRST_WORD = re.compile(r"([A-Z][a-z]*)(?![\w'’-])[^\w\s]*\s*(\S*)")
_CLAUSE_END = re.compile(r"(?<=\w)[\"'”’)\]」』】）]*(?=\s*(?:[;:；：，、]|,\s|\s[–—-]\s|—))")
_TAIL = " \t\n,;:，、；：–—-"
_FULL_STOPS = ".!?…。！？｡؟।॥"


def candidate_spans(
    query: str, document: str, within: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """Return at most MAX_CANDIDATES sentences of `document` to compare with the query, in order; of
    equal ones the first.

    Args:
        within: ranges of the document, one of which a sentence touches; () for all.
    """
    first = dict[str, tuple[int, int]]()
    for span in sentence_spans(document):
        if not within or any(span[0] < end and start < span[1] for start, end in within):
            first.setdefault(document[slice(*span)], span)
    spans = [*first.values()]
    if len(spans) <= MAX_CANDIDATES:
        return spans
    query_words = set(_WORD.findall(query.casefold()))

    def shared(index: int) -> int:
        start, end = spans[index]
        return len(query_words & set(_WORD.findall(document[start:end].casefold())))

    best = sorted(range(len(spans)), key=lambda index: (-shared(index), index))[:MAX_CANDIDATES]
    return [spans[index] for index in sorted(best)]


def chosen_indices(closeness: Sequence[float], max_sentences: int) -> list[int]:
    """Return the closest sentences, in order of the document; at least one.

    Args:
        closeness: closeness of each sentence to the query, at least one; higher is closer.
    """
    order = sorted(range(len(closeness)), key=lambda index: (-closeness[index], index))
    floor = MIN_RELATIVE_CLOSENESS * closeness[order[0]]
    near = [index for index in order[:max_sentences] if closeness[index] >= floor]
    return sorted(near or order[:1])


def candidate_statements(
    query: str, document: str, within: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """Return the candidates that are no questions; all if all are."""
    spans = candidate_spans(query, document, within)
    return [span for span in spans if not _is_question(document[slice(*span)])] or spans


def selected_indices(logits: Sequence[float], max_sentences: int) -> list[int]:
    """Return the sentences with the best scores, in order of the document; at least one.

    Args:
        logits: score of each sentence as a document, at least one.
    """
    order = sorted(range(len(logits)), key=lambda index: (-logits[index], index))
    floor = logits[order[0]] - MAX_SCORE_GAP
    return sorted(index for index in order[:max_sentences] if logits[index] >= floor)


def closest_within(
    closeness: Sequence[float], spans: Sequence[tuple[int, int]], characters: int
) -> list[int]:
    """Return the closest sentences whose lengths add up to at most `characters`, in order of the
    document; at least one. A sentence that does not fit is left out, and nearer ones come first."""
    order = sorted(range(len(closeness)), key=lambda index: (-closeness[index], index))
    chosen, room = order[:1], characters - _length(spans[order[0]])
    for index in order[1:]:
        if (length := _length(spans[index]) + 1) <= room:
            chosen.append(index)
            room -= length
    return sorted(chosen)


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def joined_evidence(document: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return the sentences verbatim, separated by a space where the document has white space;
    the parts of a long one as they are."""
    text = ""
    for (start, end), span in zip(spans, joined_spans(document, spans), strict=True):
        text += " " * (span[0] - len(text)) + document[start:end]
    return text


def joined_spans(document: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the place of each sentence in `joined_evidence`."""
    places: list[tuple[int, int]] = []
    at = 0
    for index, (start, end) in enumerate(spans):
        places.append((at, at + end - start))
        touches = index + 1 < len(spans) and spans[index + 1][0] == end
        blank = document[end : end + 1].isspace() or not _is_unspaced(document[start:end])
        at += end - start + (blank and not touches)
    return places


def contribution_of(sentence: str, document: str) -> str:
    """Return one sentence on the document's contribution, made from its best sentence.

    English: "The passage states that …"; other languages: the sentence itself. Long ones are cut at
    a clause, so that every word is from the document; the first is lower-cased unless it may be a
    name.
    """
    core = _shortened(" ".join(sentence.split()))
    body = core.rstrip(_FULL_STOPS + _TAIL) if not core.endswith("…") else core
    if latin_language(document[:2000]) != "English" or _is_question(sentence):
        return core
    if _begins_with_ordinary_word(body, document):
        body = body[0].lower() + body[1:]
    return f"The passage states that {body}" + ("" if body.endswith("…") else ".")


def _begins_with_ordinary_word(sentence: str, document: str) -> bool:
    """Return whether the sentence begins with a word that has a capital for its place alone: a
    function word, or one that the document has in lower case elsewhere, also in the other number,
    and no more often with a capital within a sentence."""
    match = _FIRST_WORD.match(sentence)
    if not match:
        return False
    word = match[1].lower()
    if word in _LOWERED:
        return True
    names = word in _ALSO_NAMES or match[2][:1].isupper() or match[2][:1].isdigit()
    if names or len(word) == 1:
        return False
    stem = word if word.endswith("ss") else word.removesuffix("s")
    lower, capital = (
        len(re.findall(rf"(?<![\w.'’-]){form}s?(?![\w'’])", document))
        for form in (re.escape(stem), rf"(?<=[a-z,;] ){re.escape(stem.capitalize())}")
    )
    return lower > capital


def best_statement(closeness: Sequence[float], chosen: Sequence[int], texts: Sequence[str]) -> int:
    """Return the closest of the chosen sentences that is not a question; the closest if all are."""
    statements = [index for index in chosen if not _is_question(texts[index])]
    return max(statements or chosen, key=lambda index: (closeness[index], -index))


def _is_question(sentence: str) -> bool:
    return sentence.rstrip("\"'”’)]」』】） ").endswith(("?", "？", "؟"))


def _is_unspaced(text: str) -> bool:
    return 2 * len(_UNSPACED.findall(text)) > sum(char.isalpha() for char in text)


def _is_closed(text: str) -> bool:
    """Return whether every bracket and quotation that the text opens is closed."""
    pairs = zip("([“「（«", ")]”」）»", strict=True)
    return text.count('"') % 2 == 0 and all(text.count(a) == text.count(b) for a, b in pairs)


def _shortened(text: str) -> str:
    """Return `text`, or its prefix up to the last clause that fits, or one with an ellipsis."""
    if _is_unspaced(text):
        limit, stop = MAX_CONTRIBUTION_CHARS, "。"
        fits, least = len(text) <= limit, limit // 3
    else:
        limit, stop = MAX_CONTRIBUTION_WORDS, "."
        words = [match.end() for match in re.finditer(r"\S+", text)]
        fits, least = len(words) <= limit, words[7] if len(words) > 7 else 0
        limit = words[min(limit, len(words)) - 1] if words else 0
    if fits:
        return text
    ends = [match.end() for match in _CLAUSE_END.finditer(text, 0, limit + 1)]
    complete = [end for end in ends if end >= least and _is_closed(text[:end])]
    if complete:
        return text[: complete[-1]].rstrip(_TAIL) + stop
    return text[: last_boundary(text, 0, limit)].rstrip(_TAIL) + "…"
