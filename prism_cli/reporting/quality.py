"""Report of `prism eval quality`, from the content of metrics.json alone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prism_cli.domain.fidelity import FIGURES
from prism_cli.reporting import counted_rows, ratings, scores
from prism_cli.reporting.figures import bars_of, figures_of
from prism_cli.reporting.numbers import with_interval
from prism_cli.reporting.page import (
    Bar,
    Bars,
    Cell,
    Excerpt,
    Excerpts,
    Histogram,
    Note,
    Page,
    Part,
    Section,
    Table,
)
from prism_cli.wording import counted

_SOURCES = {
    "": "evidence",
    "baselines · document": "whole document",
    "baselines · lead": "first sentences",
    "baselines · extractive": "closest sentences",
    "baselines · generated": "model's own text",
}
"""Group of a figure -> the texts that were measured."""
_PEOPLE = {
    "answer_retention": "answer retention",
    "rationale_recall": "rationale recall",
    "rationale_precision": "rationale precision",
    "rationale_f1": "rationale F1",
}
_TEXTS = {
    "copied_share": "copied share",
    "novelty": "novelty",
}
_RATES = {
    "wrong_yes_rate": "wrong yes",
    "missed_yes_rate": "missed yes",
}
_CLASSES = {figure: kind for kind, figure in FIGURES.items()}
_GROUNDING = {
    "repaired_share": "repaired",
    "extracted_share": "extracted",
    "citation_coverage": "citation coverage",
    "citation_precision": "citation precision",
}
_HIGHLIGHTS = {
    "answer_retention": ("Answer retention", "evidence that holds the answer"),
    "rationale_recall": ("Rationale recall", "marked sentences that the evidence holds"),
    "rationale_precision": ("Rationale precision", "evidence that was marked"),
    "rationale_f1": ("Rationale F1", "recall and precision combined"),
    "wrong_yes_rate": ("Wrong yes", "yes where people see no answer"),
    "entity_fidelity": ("Entity fidelity", "numbers and names found in the document"),
    "verdict_accuracy": ("Verdict accuracy", "predicted as labelled"),
    "format_compliance": ("Format", "yes with both texts"),
}
_EXAMPLES = {
    "wrong_yes": (
        "Yes where people see no answer in the document",
        "highest scores first",
    ),
    "answer_lost": ("The evidence lost the gold answer", "highest scores first"),
    "lowest_fidelity": (
        "Numbers and names that the document lacks",
        "smallest share found first",
    ),
}


def page(metrics: Mapping[str, Any]) -> Page:
    """Return the report."""
    return Page(
        "Quality of evidence",
        _headline(metrics),
        sections(metrics),
        _highlights(metrics),
        metrics["provenance"],
    )


def sections(metrics: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return the sections that have something to show."""
    quality, statistics = metrics["quality"], metrics["statistics"]
    shown = [_people(metrics), _verdicts(metrics), _faithful(metrics)]
    shown += [_grounding(metrics), _length(metrics)]
    shown += ratings.sections(metrics)
    if "scores" in quality:
        shown += [
            scores.calibration_section(quality["scores"], statistics["reliability"]),
            scores.threshold_section(quality["thresholds"], statistics["thresholds"]),
        ]
    shown += [_examples(metrics), counted_rows.section(metrics)]
    return tuple(section for section in shown if section.parts)


def _values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return values of the evidence by name, without missing ones."""
    return {
        figure.name: figure.value
        for figure in figures_of(metrics)
        if not figure.group and figure.value is not None
    }


def _headline(metrics: Mapping[str, Any]) -> str:
    values, counts = _values(metrics), metrics["statistics"]["counts"]
    words = []
    if "answer_retention" in values:
        own, *others = _bars(metrics, "answer_retention")
        beside = ", ".join(f"{bar.value:.1%} for the {bar.name}" for bar in others)
        words.append(
            f"The evidence keeps the answer that people gave in {own.value:.1%} of "
            f"{counted(counts['answer_retention'], 'row')}" + (f" ({beside})." if beside else ".")
        )
    if "compression_median" in values:
        words.append(
            f"The median evidence has {values['compression_median']:.0%} of its document's length."
        )
    if "entity_fidelity" in values:
        words.append(
            f"{values['entity_fidelity']:.1%} of its numbers, dates, names, acronyms, quotations "
            "and addresses are in the document."
        )
    if not words:
        words.append("No row has a yes with a text to measure.")
    return " ".join(words)


def _highlights(metrics: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    values = _values(metrics)
    highlights = [
        (
            bar.name,
            f"{bar.value:.3f}",
            with_interval(remark, bar),
        )
        for name, (title, remark) in _HIGHLIGHTS.items()
        for bar in _own_bars(metrics, {name: title})
    ]
    if "compression_median" in values:
        half = f"{values['compression_q1']:.2f} to {values['compression_q3']:.2f}"
        remark = f"median length of evidence over document; half of them {half}"
        highlights.append(("Length", f"{values['compression_median']:.2f}", remark))
    return tuple(highlights)


def _people(metrics: Mapping[str, Any]) -> Section:
    parts: list[Part] = []
    groups = _groups(metrics, _PEOPLE)
    if groups:
        alone = f": {groups[0][0]}" if len(groups) == 1 else ""
        parts.append(Bars(f"Against people's marks{alone}", "mean over rows", groups, 1.0))
    rates = _own_bars(metrics, _RATES)
    if rates:
        parts.append(Bars("Verdicts against people's marks", "share of rows", (("", rates),), 1.0))
    if parts:
        parts.append(
            Note(
                "Retention: the evidence holds a gold answer whole, after SQuAD's normalisation; "
                "punctuation ends a word too. "
                "Recall: at least half of the tokens of a marked sentence are in the evidence. "
                "Precision: at least half of the tokens of a sentence of the evidence are in the "
                "marked ones. These cover rows with a yes, which count 0 without evidence. Marks "
                "that name no document count for each document that holds them. "
                "Wrong yes: a yes where people see no answer in the document; missed yes: a no "
                "where they see one. Intervals: 95 %, by resampled queries."
            )
        )
    return Section(
        "Evidence against people's marks",
        "Share of what people marked as answer or rationale that the evidence keeps. Baselines: "
        "the whole document, its first sentences at the length of the evidence, and its sentences "
        "closest to the query.",
        tuple(parts),
    )


def _verdicts(metrics: Mapping[str, Any]) -> Section:
    bars = _own_bars(metrics, {"verdict_accuracy": "accuracy"})
    if not bars:
        return Section("Verdicts", "", ())
    (accuracy,), confusion = bars, metrics["statistics"]["confusion"]
    rows = tuple(
        (f"predicted {verdict}", labels["yes"], labels["no"])
        for verdict, labels in confusion.items()
    )
    return Section(
        "Verdicts against labels",
        f"The predicted verdict equals the label in {accuracy.value:.1%} of the rows that have both"
        + ("." if accuracy.low is None else f" ({accuracy.low:.1%} to {accuracy.high:.1%})."),
        (Table(("", "label yes", "label no"), rows, "Rows by verdict and label"),),
    )


def _faithful(metrics: Mapping[str, Any]) -> Section:
    bars = _own_bars(metrics, {"entity_fidelity": "all", **_CLASSES})
    parts: list[Part] = []
    if bars:
        parts.append(Bars("Entities by class", "share that is in the document", (("", bars),), 1.0))
    form = {
        "format_compliance": "both texts are well-formed",
        "language_agreement": "in the document's language",
    }
    checks = _own_bars(metrics, form)
    if checks:
        parts.append(Bars("Form", "share of texts", (("", checks),), 1.0))
    return Section(
        "Faithfulness and form",
        "Numbers with units, dates, names, acronyms, quotations and addresses of the evidence, "
        "looked up in the document by rules. Pairs of neighbouring characters are for scripts "
        "without capitals; the total leaves them out.",
        tuple(parts),
    )


def _grounding(metrics: Mapping[str, Any]) -> Section:
    """Return the section of grounded texts; without parts where no row was grounded."""
    parts: list[Part] = []
    if shares := _own_bars(metrics, _GROUNDING):
        parts.append(Bars("Grounded texts", "share", (("", shares),), 1.0))
        groups = _groups(metrics, {"entity_fidelity": "all", **_CLASSES})
        if groups:
            parts.append(Bars("Entities before and after", "share in the document", groups, 1.0))
    return Section(
        "Grounding",
        "Repaired: sentences with a fact that the document lacks were replaced by the document's "
        "own. Extracted: the model wrote no usable evidence, so the document's closest sentences "
        "are given. Coverage: characters of the evidence that cite a place in the document. "
        "Precision: cited sentences that people marked, where they marked any.",
        tuple(parts),
    )


def _length(metrics: Mapping[str, Any]) -> Section:
    values, counts = _values(metrics), metrics["statistics"]["compression_histogram"]
    if "compression_median" not in values:
        return Section("Length and copying", "", ())
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (words, *(values[f"{name}_{part}"] for part in ("q1", "median", "q3")))
        for name, words in (
            ("compression", "characters"),
            ("compression_tokens", "tokens (estimated)"),
        )
    )
    parts: list[Part] = [
        Histogram(
            "Length of the evidence over that of the document, in characters",
            "length of evidence / length of document",
            tuple(counts),
            (("evidence texts", tuple(counts.values())),),
        ),
        Table(("in", "lower quartile", "median", "upper quartile"), rows, "Quartiles", 3),
    ]
    groups = _groups(metrics, _TEXTS)
    if groups:
        parts.append(Bars("Copied and new", "share", groups, 1.0))
    novelty = {"novelty_1": "single words"}
    novelty |= {f"novelty_{size}": f"{size} words in a row" for size in (2, 3, 4)}
    parts.append(
        Bars(
            "New words and runs of words",
            "share not in the document",
            (("", _own_bars(metrics, novelty)),),
            1.0,
        )
    )
    longer = values.get("longer_than_document")
    share = f"{longer:.1%} of the evidence texts are" if longer else "No evidence text is"
    return Section(
        "Length and copying",
        f"{share} longer than the document. Copied share: words "
        "in the longest spans shared with the document; novelty: runs of one to four "
        "words that are not in it.",
        tuple(parts),
    )


def _examples(metrics: Mapping[str, Any]) -> Section:
    parts = tuple(
        Excerpts(f"{title}: {which}", tuple(map(_excerpt, metrics["examples"][kind])))
        for kind, (title, which) in _EXAMPLES.items()
        if metrics["examples"].get(kind)
    )
    return Section("Example rows", "Texts are cut to 800 characters.", parts)


def _excerpt(row: Mapping[str, Any]) -> Excerpt:
    facts = [("query", row["query_id"]), ("document", row["doc_id"])]
    if row.get("score") is not None:
        facts.append(("score", f"{row['score']:.3f}"))
    facts += [
        (name, "; ".join(row[field]))
        for name, field in (("not in the document", "missing"), ("gold answers", "answers"))
        if row.get(field)
    ]
    return Excerpt(
        row["query"], tuple(facts), tuple((name, row[name]) for name in ("evidence", "document"))
    )


def _groups(
    metrics: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
    """Return a group for each measure: the bar of the evidence, then those of the baselines."""
    values = _values(metrics)
    return tuple((words, _bars(metrics, name)) for name, words in names.items() if name in values)


def _own_bars(metrics: Mapping[str, Any], names: Mapping[str, str]) -> tuple[Bar, ...]:
    return tuple(replace(bars[0], name=words) for words, bars in _groups(metrics, names))


def _bars(metrics: Mapping[str, Any], name: str) -> tuple[Bar, ...]:
    return bars_of(
        (_SOURCES[figure.group], figure)
        for figure in figures_of(metrics)
        if figure.name == name and figure.group in _SOURCES
    )
