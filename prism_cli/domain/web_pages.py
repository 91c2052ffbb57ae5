"""Pages of a web search: cleaning of their text, and the filter for pages."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from prism_cli.domain.near_duplicates import (
    THRESHOLD,
    document_shingles,
    jaccard,
    normalised,
)
from prism_cli.domain.scripts import script_of
from prism_cli.rows.texts import is_blank

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Control characters, soft hyphens, and marks that are invisible or turn the writing direction.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe"
    r"\uffff\ud800-\udfff]"
)
_BLANKS = re.compile(r"[^\S\n]+")
_GAPS = re.compile(r"\n{3,}")
_BOILERPLATE = re.compile(
    r"\W*((this (web)?site|we|our (web)?site) uses? cookies\b.*|(accept|reject|manage|allow)"
    r"( all)?( the)? cookies|cookie (policy|settings|preferences|notice)|skip to"
    r"( (the|main|site))? (content|navigation)|(toggle|open|close) (navigation|menu)"
    r"|all rights reserved|(back )?to top|share (this|on \w+)|advertisement)\W*",
    re.IGNORECASE,
)
_BOILERPLATE_CHARACTERS = 200
"""A longer line has other content."""
_TRACKING = re.compile(
    r"(utm_\w+|gclid|gbraid|wbraid|fbclid|msclkid|dclid|yclid|igshid|mc_cid|mc_eid|_hsenc|_hsmi"
    r"|ref_src)(=.*)?",
    re.IGNORECASE,
)
_LETTERS = 2_000
"""Letters of a text by which its script is determined."""
_COMPARED = 50_000
"""Characters of a text that are compared with other texts."""


def clean_text(text: str) -> str:
    """Return `text` without invisible characters, banners, and repeated blanks or blank lines."""
    text = _UNSEEN.sub("", _LINE_ENDS.sub("\n", text))
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return _GAPS.sub("\n\n", "\n".join(line for line in lines if not _is_boilerplate(line))).strip()


def url_key(url: str) -> str | None:
    """Return a key that is equal for two addresses of one page; None for an invalid web address.

    The scheme, the fragment, tracking parameters and a trailing slash are ignored.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    place = host if port in (None, 80, 443) else f"{host}:{port}"
    parameters = [part for part in parts.query.split("&") if part and not _TRACKING.fullmatch(part)]
    return f"{place}{parts.path.rstrip('/')}?{'&'.join(parameters)}"


def scripts(text: str) -> Counter[str]:
    """Count the scripts, such as LATIN or CJK, of the first letters of `text`."""
    sample = unicodedata.normalize("NFKC", text[: 4 * _LETTERS])
    letters = [letter for letter in sample if letter.isalpha()][:_LETTERS]
    return Counter(map(script_of, letters))


def sift(
    query: str, pages: Sequence[Mapping[str, str]], min_characters: int
) -> list[tuple[dict[str, str], str]]:
    """Return every page with cleaned title and text, and the reason for dropping it ("" for none).

    Args:
        pages: url, title and text of each, best first; of two equal pages the first is kept.
    """
    wanted = scripts(query)
    urls: set[str] = set()
    seen: list[set[int]] = []
    pages_with_reasons = []
    for page in pages:
        title = " ".join(clean_text(page["title"]).split())
        cleaned = {"url": page["url"].strip(), "title": title, "text": clean_text(page["text"])}
        pages_with_reasons.append((cleaned, _reason(cleaned, wanted, min_characters, urls, seen)))
    return pages_with_reasons


def _reason(
    page: Mapping[str, str],
    wanted: Counter[str],
    min_characters: int,
    urls: set[str],
    seen: list[set[int]],
) -> str:
    text, key = page["text"], url_key(page["url"])
    if key is None:
        return "no web address"
    if len(text) < max(1, min_characters) or is_blank(text):
        return "too short"
    script = scripts(text).most_common(1)
    if wanted and not (script and script[0][0] in wanted):
        return "another script than the query"
    if key in urls:
        return "the same address"
    shingles: set[int] = set(document_shingles(normalised(text[:_COMPARED])).tolist())
    if any(jaccard(shingles, other) >= THRESHOLD for other in seen):
        return "nearly the same text"
    urls.add(key)
    seen.append(shingles)
    return ""


def _is_boilerplate(line: str) -> bool:
    return len(line) <= _BOILERPLATE_CHARACTERS and _BOILERPLATE.fullmatch(line) is not None
