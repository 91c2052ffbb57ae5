"""The report on labels: how far judges agree, and teacher and panel."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from prism_cli.domain.agreement import LEAST_ALPHA, RELIABLE_ALPHA
from prism_cli.domain.voting import PUBLISHED_AGREEMENT
from prism_cli.reporting.numbers import number, span
from prism_cli.reporting.page import (
    Bar,
    Bars,
    Excerpt,
    Excerpts,
    HeatMap,
    Note,
    Page,
    Part,
    Section,
    Table,
)
from prism_cli.wording import counted

_VERDICTS = ("yes", "no", "undecided")
_BASIS = {
    kind: (f"{row}, {words}", f"{row}s, {words}")
    for kind, row, words in (
        ("audit", "audit row", "drawn by lot, on which every judge was asked"),
        ("full panel", "row", "on each of which every judge voted"),
        ("part of the panel", "row", "among the judges that voted on each"),
    )
}


def page(metrics: Mapping[str, Any]) -> Page:
    """From the content of metrics.json alone."""
    labels, statistics = metrics["labels"], metrics["statistics"]
    headline = f"{counted(labels['rows'], 'row')}, {labels['rows_with_votes']:,} with votes of "
    headline += f"{counted(len(statistics['judges']), 'judge')}. "
    if labels["alpha"] is not None:
        headline += (
            f"Krippendorff's alpha is {_told(labels['alpha'], statistics['intervals']['alpha'])} "
            f"on {counted(statistics['counts']['alpha'], 'row')}: {_alpha_words(statistics)}. "
        )
    elif statistics["basis"]["warning"]:
        headline += "How far the whole panel agrees cannot be told from these rows. "
    if labels["teacher_agreement"] is not None:
        headline += (
            f"Teacher and panel agree on {labels['teacher_agreement']:.1%} of "
            f"{counted(statistics['counts']['teacher_agreement'], 'row')}."
        )
    return Page(
        "Labels",
        headline.strip(),
        sections(metrics),
        tuple(_highlights(metrics)),
        metrics["provenance"],
    )


def sections(metrics: Mapping[str, Any]) -> tuple[Section, ...]:
    """Agreement of judges, what each says, teacher and panel, rows to read."""
    found = [_judges(metrics), _rates(metrics), _teacher(metrics), _rows(metrics)]
    return tuple(one for one in found if one.parts)


def _highlights(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    labels, statistics = metrics["labels"], metrics["statistics"]
    intervals, counts = statistics["intervals"], statistics["counts"]
    if labels["alpha"] is not None:
        yield "Krippendorff's alpha", number(labels["alpha"], 2), _alpha_words(statistics)
    for name, title, of in (
        ("verdict_yes_rate", "Verdict yes", "with a verdict"),
        ("disputed", "Not unanimous", "with the votes of all judges"),
        ("teacher_agreement", "Teacher as the panel", "with score and verdict"),
    ):
        if labels[name] is not None:
            low, high = intervals[name]
            remark = f"95 %: {low:.1%} to {high:.1%}, of {counted(counts[name], 'row')} {of}"
            yield title, f"{labels[name]:.1%}", remark


def _judges(metrics: Mapping[str, Any]) -> Section:
    labels, statistics = metrics["labels"], metrics["statistics"]
    basis, judges = statistics["basis"], statistics["judges"]
    parts: list[Part] = [Note(basis["warning"], warning=True)] if basis["warning"] else []
    kappas = labels["kappa"]
    if any(value is not None for value in kappas.values()):
        parts.append(_kappa_map(judges, kappas))
        parts.append(_pair_table(metrics))
    if basis["kind"] in _BASIS and len(judges) > 1:
        parts.append(_others_table(metrics))
    words = ""
    if basis["kind"] in _BASIS:
        words = f"Told of {counted(basis['rows'], *_BASIS[basis['kind']])}; intervals take them "
        words += "as the sample. "
    if labels["alpha"] is not None:
        told = _told(labels["alpha"], statistics["intervals"]["alpha"])
        words += (
            f"Krippendorff's alpha tells how far all judges agree beyond chance: 1 is always, 0 no "
            f"more than by chance. It is {told}: {_alpha_words(statistics)} (reliable from "
            f"{RELIABLE_ALPHA:g}, tentative conclusions from {LEAST_ALPHA:g}). "
        )
        words += "Cohen's kappa tells the same of two judges."
    elif any(value is not None for value in kappas.values()):
        words += "Cohen's kappa tells how far two judges agree beyond chance: 1 is always, 0 no "
        words += "more than by chance."
    return Section("How far the judges agree", words.strip(), tuple(parts))


def _kappa_map(judges: Sequence[str], kappas: Mapping[str, float | None]) -> HeatMap:
    by_pair = {
        frozenset(pair): kappas[f"{judges[pair[0]]} | {judges[pair[1]]}"]
        for pair in combinations(range(len(judges)), 2)
    }
    values = tuple(
        tuple(by_pair.get(frozenset((row, column))) for column in range(len(judges)))
        for row in range(len(judges))
    )
    names = tuple(short_names(judges).values())
    return HeatMap("Cohen's kappa by pair", names, names, values, scale=(0.0, 1.0))


def _pair_table(metrics: Mapping[str, Any]) -> Table:
    labels, statistics = metrics["labels"], metrics["statistics"]
    rows = []
    for one, other in combinations(short_names(statistics["judges"]).items(), 2):
        pair = f"{one[0]} | {other[0]}"
        rows.append(
            (
                f"{one[1]}, {other[1]}",
                statistics["counts"]["kappa"][pair],
                labels["same_vote"][pair],
                labels["kappa"][pair],
                span(statistics["intervals"]["kappa"][pair], 3),
                statistics["words"]["kappa"][pair],
            )
        )
    columns = ("pair", "rows", "same vote", "kappa", "95 %", "in words")
    return Table(columns, tuple(rows), "Pairs: share of rows with the same vote, and kappa", 3)


def _others_table(metrics: Mapping[str, Any]) -> Table:
    labels, statistics = metrics["labels"], metrics["statistics"]
    published = any(judge in PUBLISHED_AGREEMENT for judge in statistics["judges"])
    rows = []
    for judge in statistics["judges"]:
        cells = (
            judge,
            labels["with_others"][judge],
            statistics["counts"]["with_majority"][judge],
            labels["with_majority"][judge],
            span(statistics["intervals"]["with_majority"][judge], 3),
        )
        rows.append((*cells, PUBLISHED_AGREEMENT.get(judge)) if published else cells)
    columns = ("judge", "as another", "rows", "as most others", "95 %",
               *(("published",) if published else ()))  # fmt: skip
    title = "How often a judge says what another says, and what most others say (ties aside)"
    if published:
        title += "; published: with the others, from votes that stopped early (arXiv 2604.23734)"
    return Table(columns, tuple(rows), title, 3)


def _rates(metrics: Mapping[str, Any]) -> Section:
    labels, statistics = metrics["labels"], metrics["statistics"]
    title, judges = "What each judge says", statistics["judges"]
    if not judges:
        return Section(title, "", ())
    groups = []
    for name, told in (
        ("yes_rate", "asked whatever the others said"),
        ("yes_rate_all_votes", "all votes cast"),
    ):
        intervals = statistics["intervals"][name]
        bars = tuple(
            Bar(short, labels[name][judge], *intervals[judge])
            for judge, short in short_names(judges).items()
            if labels[name][judge] is not None
        )
        if bars:
            groups.append((told, bars))
    alone = f": {groups[0][0]}" if len(groups) == 1 else ""
    rows = []
    for judge in [*judges, "verdict"]:
        rows.append(
            (
                judge,
                labels["abstention_rate"].get(judge),
                statistics["counts"]["with_source_label"][judge],
                labels["with_source_label"][judge],
                labels["kappa_with_source_label"][judge],
                span(statistics["intervals"]["kappa_with_source_label"][judge], 3),
            )
        )
    columns = ("judge", "abstained", "rows with label", "as the label", "kappa", "95 %")
    parts: tuple[Part, ...] = (
        Bars(f"Share of yes by judge{alone}", "share of yes", tuple(groups), top=1.0),
        Table(columns, tuple(rows), "Abstentions, and the corpus's own label (grade 1 is yes)", 3),
    )
    words = "Shares of yes of all votes cast are biased where the panel stops early: the judges "
    words += "asked last see only the rows that the others left open. The verdict's line is of "
    words += "all rows with a verdict and a label of the corpus."
    return Section(title, words, parts)


def _teacher(metrics: Mapping[str, Any]) -> Section:
    labels, statistics = metrics["labels"], metrics["statistics"]
    found = statistics["score_by_verdict"]
    parts: list[Part] = []
    words = "No row has both a teacher's score and a panel's vote."
    if labels["teacher_agreement"] is not None:
        told = _told(labels["teacher_agreement"], statistics["intervals"]["teacher_agreement"])
        words = (
            f"Score and verdict lie on the same side of .5 for a share of {told}; "
            f"on {counted(labels['teacher_disagrees'], 'row')} they do not: such a row trains "
            "verdict and texts, not the score."
        )
        if labels["teacher_auc"] is not None:
            words += f" AUC, the chance that a yes scores above a no: {labels['teacher_auc']:.3f}; "
            words += ".5 is chance."
            if error := labels.get("teacher_auc_error"):
                words += f" It may lie off by {error:.2g}: not all ranks of so many rows are kept."
        counts = tuple(
            tuple(float(found[verdict][place]) for verdict in _VERDICTS)
            for place in range(len(found["buckets"]))
        )
        both = statistics["teachers_on_the_panel"]
        if both:
            told = f"{', '.join(both)} is both teacher and judge: teacher and panel agree the more "
            parts.append(Note(f"{told}for it, and these figures say less.", warning=True))
        names = tuple(found["buckets"])
        parts.append(
            HeatMap(
                "Rows by teacher score and verdict", names, _VERDICTS, counts,
                "teacher score", "verdict", decimals=0,
            )
        )  # fmt: skip
    columns = ("source", "rows", "yes", "undecided", "with score", "teacher agrees", "95 %",
               "label agrees")  # fmt: skip
    rows = []
    for one in statistics["sources"]:
        rows.append(
            (
                one["source"] or "(none)", one["rows"], one["yes_rate"], one["undecided"],
                one["teacher_rows"], one["teacher_agreement"], span(one["teacher_interval"], 3),
                one["label_agreement"],
            )
        )  # fmt: skip
    if rows:
        parts.append(
            Table(
                columns,
                tuple(rows),
                "By source: share of yes, and how often teacher and corpus agree with the verdict",
                3,
            )
        )
    return Section("Teacher and panel", words, tuple(parts))


def _rows(metrics: Mapping[str, Any]) -> Section:
    parts = []
    for name, title in (
        ("panel_no", "The teacher scores high, the panel says no"),
        ("panel_yes", "The teacher scores low, the panel says yes"),
    ):
        found = metrics["examples"][name]
        if found:
            parts.append(Excerpts(title, tuple(map(_excerpt, found))))
    words = "The largest disagreements each way, with the texts cut; review.jsonl has more of them."
    return Section("Where teacher and panel disagree most", words, tuple(parts))


def _excerpt(one: Mapping[str, Any]) -> Excerpt:
    names = short_names(list(one["votes"]))
    votes = ", ".join(f"{names[judge]}: {vote or '-'}" for judge, vote in one["votes"].items())
    facts = [
        ("teacher score", f"{one['teacher_score']:.3f}"),
        ("verdict", one["verdict"]),
        ("votes", votes or "-"),
        ("source label", "-" if one["source_label"] is None else str(one["source_label"])),
        ("source", one["source"] or "-"),
        ("query, document", f"{one['query_id']}, {one['doc_id']}"),
    ]
    return Excerpt(one["query"], tuple(facts), (("document", one["document"]),))


def short_names(judges: Sequence[str]) -> dict[str, str]:
    """Names without their provider, where they stay apart."""
    ends = [judge.rpartition("/")[2] for judge in judges]
    return {
        judge: end if end and ends.count(end) == 1 else judge
        for judge, end in zip(judges, ends, strict=True)
    }


def _told(value: float, interval: Sequence[float]) -> str:
    return f"{number(value, 3)} (95 %: {span(interval, 3)})"


def _alpha_words(statistics: Mapping[str, Any]) -> str:
    words: str = statistics["words"]["alpha"]
    return f"labels of such a panel are {words}" if words in ("reliable", "unreliable") else words
