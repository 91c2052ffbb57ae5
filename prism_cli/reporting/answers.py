"""Report of `prism eval answers`, from the content of metrics.json alone."""

from collections.abc import Mapping
from typing import Any

from prism_cli.reporting.figures import NO_FIGURE, Figure, bars_of, grouped
from prism_cli.reporting.numbers import span, with_interval
from prism_cli.reporting.page import (
    Bars,
    Excerpt,
    Excerpts,
    Line,
    Lines,
    Note,
    Page,
    Part,
    Section,
    Table,
)
from prism_cli.wording import counted

CONTEXTS = {
    "nothing": "nothing",
    "documents": "documents",
    "evidence": "evidence",
    "contributions": "contributions",
    "closest": "closest sentences",
    "lead": "first sentences",
}
"""Context -> its name in words."""
MEASURES = {
    "f1": "F1",
    "exact_match": "exact match",
    "contained": "answer contained",
}
WEAK_F1 = 0.3
"""F1 from the documents below which a reader cannot show whether the evidence is enough."""
_CHANCE = 0.05
"""p from which the documents are no better than nothing."""
_UNREAD = 0.25
"""Share of the queries with an answer without a document above which the page says so."""
SHARES = MEASURES | {
    "no_answer_rate": "“no answer” though there is one",
    "no_answer_accuracy": "“no answer” where there is none",
}
COSTS = {
    "tokens_read": "tokens read",
    "tokens_written": "tokens written",
    "usd": "US dollars per 1,000 queries",
    "refused": "no usable reply",
    "cut": "texts cut",
    "without_text": "no text, not asked",
}
"""Measure -> its name in words, of a table; columns of zeros are left out."""


def page(metrics: Mapping[str, Any]) -> Page:
    """Return the report."""
    highlights = tuple(
        (
            f"F1 from {name}",
            f"{bar.value:.3f}",
            with_interval("", bar),
        )
        for name, figures in _contexts(metrics).items()
        for bar in bars_of([("", figures.get("f1", NO_FIGURE))])
    )
    sections = (_answers(metrics), _unanswerable(metrics), _examples(metrics), _counts(metrics))
    return Page(
        "Answers from evidence",
        _headline(metrics),
        tuple(section for section in sections if section.parts),
        highlights,
        metrics["provenance"],
    )


def reader_words(metrics: Mapping[str, Any]) -> str:
    """Return the reader's name, and where it labelled the rows that it reads."""
    reader = metrics["reader"]
    labelled = reader["labelled_rows"]
    if not labelled:
        return str(reader["spec"])
    if labelled.startswith("not looked for"):
        return f"{reader['spec']} (whether it labelled the rows was {labelled})"
    return f"{reader['spec']}, which also labelled these rows ({labelled})"


def figure_warnings(metrics: Mapping[str, Any]) -> list[str]:
    """Return the reasons why the figures do not show whether the evidence is enough."""
    check = metrics["statistics"].get("reader")
    if not check:
        return []
    texts: list[str] = []
    queries, read = metrics["queries"]["answerable"], check["queries"]
    documents, nothing = check.get("documents", 0.0), check.get("nothing")
    poor = documents < WEAK_F1 or (nothing is not None and documents <= nothing)
    if read and (poor or (nothing is not None and check["p"] >= _CHANCE)):
        figures = f"F1 from the documents is {documents:.3f}"
        if nothing is not None:
            figures += f", from nothing {nothing:.3f} (p = {check['p']:.2g})"
        over = f"over {counted(read, 'query', 'queries')} whose documents were read, {figures}"
        texts.append(
            f"the reader answers poorly from the documents: {over}. Such a reader cannot show "
            "whether the evidence is enough. Choose a stronger --reader, such as an instruct model "
            "of 7 billion parameters or more or PROVIDER/MODEL"
            if poor
            else f"too few queries to tell the documents from nothing: {over}. Measure more queries"
        )
    if queries - read > _UNREAD * queries:
        texts.append(
            f"{queries - read:,} of {counted(queries, 'query', 'queries')} with an answer have no "
            "document with the verdict yes, and count as “no answer” from every context but "
            "nothing: this is the reranker's loss, not the evidence's. --verdict any reads the "
            "best documents of every query"
        )
    return texts


def test_words(test: Mapping[str, Any]) -> str:
    """Return a paired test in one line."""
    interval = span(test["interval"], 3) or "no interval"
    return (
        f"{CONTEXTS[test['context']]} against {CONTEXTS[test['against']]}: F1 "
        f"{_signed(test['difference'])} ({interval}), {test['win']} won, "
        f"{test['tie']} tied, {test['loss']} lost, p = {test['p']:.4g}, after Holm "
        f"{test['p_holm']:.4g}"
    )


def _signed(difference: float) -> str:
    return f"{difference:+.3f}".replace("-", "−")


def _contexts(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Figure]]:
    """Return the figures by context, in words."""
    groups = grouped(metrics)
    return {words: groups[name] for name, words in CONTEXTS.items() if name in groups}


def _headline(metrics: Mapping[str, Any]) -> str:
    reader = f"The reader is {reader_words(metrics)}."
    contexts = _contexts(metrics)
    values = {
        name: (figures["f1"].value, figures["tokens_read"].value)
        for name, figures in contexts.items()
        if figures["f1"].value is not None
    }
    if not values:
        return f"No query has an answer by people. {reader}"
    parts = [
        f"{f1:.3f} from {name} ({tokens or 0:,.0f} tokens)" for name, (f1, tokens) in values.items()
    ]
    queries = counted(metrics["queries"]["answerable"], "query", "queries")
    return f"F1 over {queries} with an answer: {', '.join(parts)}. {reader}"


def _answers(metrics: Mapping[str, Any]) -> Section:
    contexts = _contexts(metrics)
    groups = tuple(
        (words, bars_of((name, figures[measure]) for name, figures in contexts.items()))
        for measure, words in MEASURES.items()
    )
    if not any(bars for _, bars in groups):
        return Section("Answers", "", ())
    lines = tuple(
        Line(name, ((figures["tokens_read"].value or 0.0, figures["f1"].value),))
        for name, figures in contexts.items()
        if figures["f1"].value is not None
    )
    parts: list[Part] = [
        *(Note(f"{text[0].upper()}{text[1:]}.", warning=True) for text in figure_warnings(metrics)),
        Lines(
            "F1 against tokens read",
            "tokens read per query (estimated)",
            "F1",
            lines,
            x_range=(0.0, max((line.points[0][0] for line in lines), default=0.0) or 1.0),
            y_range=(0.0, 1.0),
            scatter=True,
        ),
        Bars("Answers by context", "mean over queries with an answer", groups, 1.0),
    ]
    tests = metrics["statistics"]["tests"]
    if tests:
        rows = tuple(
            (
                CONTEXTS[test["context"]],
                CONTEXTS[test["against"]],
                test["difference"],
                span(test["interval"], 3),
                test["win"],
                test["tie"],
                test["loss"],
                test["p"],
                test["p_holm"],
            )
            for test in tests
        )
        columns = (
            "F1 from", "against", "difference", "95 % interval", "won", "tied", "lost", "p",
            "after Holm",
        )  # fmt: skip
        parts.append(Table(columns, rows, "Paired permutation tests"))
    parts += [
        _table("Measures", contexts, SHARES, decimals=3),
        _table(
            "Tokens and cost of a query, and queries without a reply", contexts, COSTS, decimals=2
        ),
    ]
    parts.append(
        Note(
            "Exact match and F1 are SQuAD's, the best over the gold answers; contained: the reply "
            "holds a gold answer whole. “No answer” counts 0 where there is one. A context without "
            "a text is not asked and counts as “no answer”. Closest and first sentences have the "
            "length of the evidence. Tokens are estimated from the texts alone, without the query "
            "and the instruction; US dollars, from the provider's prices, are for the whole "
            "question. Columns of zeros are left out. Intervals: 95 %, by resampled queries."
        )
    )
    return Section(
        "Answers",
        "The same reader answers each query from each context in the fewest words. Documents, "
        "evidence and the other texts are of the same documents.",
        tuple(parts),
    )


def _table(
    title: str,
    contexts: Mapping[str, Mapping[str, Figure]],
    words: Mapping[str, str],
    decimals: int,
) -> Table:
    """Return a row for each context, without measures that none has."""
    shown = [name for name in words if any(figures[name].value for figures in contexts.values())]
    rows = tuple(
        (context, *(_cell(figures[name]) for name in shown))
        for context, figures in contexts.items()
    )
    return Table(("context", *(words[name] for name in shown)), rows, title, decimals)


def _cell(figure: Figure) -> float | None:
    return figure.value * 1000 if figure.name == "usd" and figure.value else figure.value


def _unanswerable(metrics: Mapping[str, Any]) -> Section:
    bars = bars_of(
        (name, figures["no_answer_accuracy"]) for name, figures in _contexts(metrics).items()
    )
    words = "Share of the queries that people call unanswerable to which the reply is “no answer”."
    parts = (Bars("Unanswerable queries", "share of “no answer”", (("", bars),), 1.0),)
    return Section("Unanswerable queries", words, parts if bars else ())


def _examples(metrics: Mapping[str, Any]) -> Section:
    excerpts = tuple(
        Excerpt(
            example["query"],
            (
                ("query", example["query_id"]),
                ("gold answers", "; ".join(example["gold"])),
                *(
                    (CONTEXTS[name], reply or "no answer")
                    for name, reply in example["replies"].items()
                ),
            ),
            (("evidence", example["evidence"]),),
        )
        for example in metrics["examples"]["lost"]
    )
    title = "Answered better from the documents than from the evidence, greatest loss of F1 first"
    parts = (Excerpts(title, excerpts),) if excerpts else ()
    return Section("Example queries", "Texts are cut to 800 characters.", parts)


def _counts(metrics: Mapping[str, Any]) -> Section:
    rows = [(f"input rows: {name}", count) for name, count in metrics["input_rows"].items()]
    rows += [
        (f"queries: {name.replace('_', ' ')}", count) for name, count in metrics["queries"].items()
    ]
    rows.append(("rows of marks by people", metrics["gold"]["rows"]))
    return Section("Counts", "", (Table(("what", "count"), tuple(rows), "Rows"),))
