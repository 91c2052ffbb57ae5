"""Rankings as text, wrapped at the terminal's width, with invisible characters escaped."""

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prism_cli.commands.cited_text import cited_lines, score_bar
from prism_cli.commands.tables import stdout_console
from prism_cli.domain.evidence_budget import (
    EVIDENCE_TOP,
    MAX_EVIDENCE_TOKENS,
    REPEATS,
    SCATTERED,
    THRESHOLD,
    TOO_MANY,
)
from prism_cli.reporting.sanitize import one_line
from prism_cli.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from prism_cli.rows.best_documents import BestDocuments, RankedDocument

_LONGEST, _GLIMPSE, _NAME = 2_000, 160, 200
_NO_EVIDENCE = (
    "no usable evidence: the model's text could not be read, or does not speak of the document"
)
_OMITTED = {
    THRESHOLD: "no evidence: the score is not above --threshold",
    EVIDENCE_TOP: "no evidence: not among the best of --evidence-top",
    MAX_EVIDENCE_TOKENS: "no evidence: the texts up to here do not fit in --max-evidence-tokens",
    SCATTERED: "no evidence: the rows of the query are not adjacent (rerank with --sort-queries)",
    TOO_MANY: "no evidence: too many documents for --evidence-top and --max-evidence-tokens",
    REPEATS: "no evidence: it says nothing beyond that of",
}


def print_ranking(
    query: str,
    ranked: "Sequence[RankedDocument]",
    counts: Mapping[str, int],
    model: str,
    *,
    cited: bool = False,
) -> None:
    """Print the ranking to standard output.

    Args:
        ranked: best first.
        counts: documents and yes, over all documents.
        cited: print a bar for each score, and the document with the cited sentences marked.
    """
    with stdout_console(shutil.get_terminal_size().columns) as console:
        _paragraph(console, one_line(query, _LONGEST), style="bold")
        of = counted(counts["documents"], "document")
        line = f"{of}, {counts['yes']:,} judged yes by {one_line(model, _NAME)}"
        if len(ranked) < counts["documents"]:
            line += f"; the best {len(ranked):,} (--top-n N shows more)"
        _paragraph(console, line)
        room = len(str(len(ranked)))
        for rank, one in enumerate(ranked, 1):
            console.print()
            _document(console, f"{rank:>{room}}", one, cited=cited)


def example_lines(best: "BestDocuments", usable: "BestDocuments | None" = None) -> list[str]:
    """One document, for a summary; [] where there is none: the best of the first query, or one that
    has texts of use where that one has none."""
    ranked = best.ranked()
    if not ranked:
        return []
    result = ranked[0].result
    good = result["verdict"] == "yes" and result.get("format_ok")
    if usable and usable.ranked() and not good:
        best, ranked = usable, usable.ranked()
    one = ranked[0]
    result = one.result
    head = (
        f"score {result['relevance_score']:.3f}, {_fused(result, ', ')}verdict {result['verdict']}"
    )
    lines = ["for example:", f"  query     {one_line(best.query, 300)}"]
    lines += [f"  document  {_name(one)}: {head}"]
    if one.lacks_evidence:
        lines.append(f"  note      {_NO_EVIDENCE}")
    elif result.get("evidence"):
        lines.append(f"  evidence  {one_line(result['evidence'], 300)}")
    return lines


def _document(
    console: "Console", rank: str, document: "RankedDocument", *, cited: bool = False
) -> None:
    from rich.text import Text

    result, yes = document.result, document.result["verdict"] == "yes"
    bar = f"{score_bar(result['relevance_score'])}  " if cited else ""
    fused = _fused(result, "  ")
    head = Text(f"{rank}  {bar}{result['relevance_score']:.3f}  {fused}")
    head.append(f"{result['verdict']:3}", style="bold green" if yes else "dim")
    head.append(f"  {_name(document)}")
    _paragraph(console, head, indent=len(rank) + len(bar) + len(fused) + 14)
    lines: list[tuple[str, str | Text]] = []
    if document.lacks_evidence:
        lines = [("note", _NO_EVIDENCE)]
    elif yes and (reason := result.get("evidence_omitted")) in _OMITTED:
        note = " ".join(filter(None, (_OMITTED[reason], result.get("repeats"))))
        lines = [("text", _glimpse(document)), ("note", note)]
    elif result.get("evidence") or (yes and "evidence" in result):
        texts = ((name, result.get(name)) for name in ("contribution", "evidence"))
        lines = [(name, text) for name, text in texts if text]
        if cited and lines:
            lines = cited_lines(document, signs=console.color_system is None or console.no_color)
    elif document.title or document.named or result.get("windows"):
        lines = [("text", _glimpse(document))]
    if result.get("truncated"):
        lines.append(("note", "longer than the model takes: it read the beginning"))
    if windows := result.get("windows"):
        start, end = result["best_window"]
        note = f"read in {counted(windows, 'window')}; the best: characters {start:,} to {end:,}"
        lines.append(("note", note))
    for name, text in lines:
        label = f"{'':{len(rank) + 2}}{name:<14}"
        shown = text if isinstance(text, Text) else one_line(text, _LONGEST)
        _paragraph(console, Text.assemble(label, shown), indent=len(label))


def _fused(result: Mapping[str, Any], end: str) -> str:
    """Return the fused score, by which the ranking is ordered, and `end`; "" without fusion."""
    if "fused_score" not in result:
        return ""
    value = result["fused_score"]
    return f"fused {'none' if value is None else f'{value:.4f}'}{end}"


def _glimpse(document: "RankedDocument") -> str:
    """Return the beginning of the document, or of its best window."""
    start, end = document.result.get("best_window") or (0, len(document.text))
    text = document.text[start:end] or document.text
    return ("…" if start and text is not document.text else "") + one_line(text, _GLIMPSE)


def _name(document: "RankedDocument") -> str:
    """Title and id, or the beginning of the text where it has neither."""
    own = document.result["doc_id"] if document.named else ""
    if not document.title:
        return one_line(own or document.text, _NAME)
    title = one_line(document.title, _NAME)
    return f"{title} ({one_line(own, _NAME)})" if own and own != document.title else title


def _paragraph(console: "Console", text: object, *, indent: int = 0, style: str = "") -> None:
    """Text that goes on under itself; no word is broken that fits a line."""
    from rich.text import Text

    whole = text if isinstance(text, Text) else Text(str(text), style=style)
    width = max(console.width - indent, 20)
    head, rest = whole[:indent], whole[indent:]
    for number, line in enumerate(rest.wrap(console, width)):
        line.rstrip()
        console.print(Text.assemble(head if not number else " " * indent, line), soft_wrap=True)
