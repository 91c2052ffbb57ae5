"""Report of `prism eval labels`: agreement of judges, and of teacher and panel."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from prism_cli.domain.agreement import LEAST_ALPHA, RELIABLE_ALPHA
from prism_cli.domain.voting import PUBLISHED_AGREEMENT
from prism_cli.reporting.figures import NO_FIGURE, Figure, Groups, bars_of, grouped
from prism_cli.reporting.numbers import number, span
from prism_cli.reporting.page import (
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
        ("audit", "audit row", "drawn at random, on which every judge was asked"),
        ("full panel", "row", "on each of which every judge voted"),
        ("part of the panel", "row", "among the judges that voted on each"),
    )
}


def page(metrics: Mapping[str, Any]) -> Page:
    """Return the report, from the content of metrics.json alone."""
    figures, statistics = grouped(metrics), metrics["statistics"]
    total = figures[""]
    headline = f"{counted(metrics['labels']['rows'], 'row')}, {total['rows_with_votes'].value:,} "
    headline += f"with votes of {counted(len(statistics['judges']), 'judge')}. "
    alpha, teacher = total["alpha"], total["teacher_agreement"]
    if alpha.value is not None:
        headline += (
            f"Krippendorff's alpha is {_with_interval(alpha)} "
            f"on {_rows_of(alpha)}: {_alpha_words(alpha)}. "
        )
    elif statistics["basis"]["warning"]:
        headline += "These rows do not determine the agreement of the whole panel. "
    if teacher.value is not None:
        headline += f"Teacher and panel agree on {teacher.value:.1%} of {_rows_of(teacher)}."
    return Page(
        "Labels",
        headline.strip(),
        sections(metrics),
        tuple(_highlights(total)),
        metrics["provenance"],
    )


def sections(metrics: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return agreement of judges, rates of each judge, teacher and panel, and example rows."""
    figures, statistics = grouped(metrics), metrics["statistics"]
    parts = [
        _judges(figures, statistics),
        _rates(figures, statistics["judges"]),
        _teacher(figures[""], statistics),
        _rows(metrics["examples"]),
    ]
    return tuple(section for section in parts if section.parts)


def _highlights(total: Mapping[str, Figure]) -> Iterator[tuple[str, str, str]]:
    alpha = total["alpha"]
    if alpha.value is not None:
        yield "Krippendorff's alpha", number(alpha.value, 2), _alpha_words(alpha)
    for name, title, of in (
        ("verdict_yes_rate", "Verdict yes", "with a verdict"),
        ("disputed", "Not unanimous", "with the votes of all judges"),
        ("changed_verdicts", "Changed by stopping", "with all votes, replayed"),
        ("teacher_agreement", "Teacher as the panel", "with score and verdict"),
    ):
        figure = total.get(name, NO_FIGURE)
        if figure.value is not None and figure.interval:
            low, high = figure.interval
            remark = f"95 %: {low:.1%} to {high:.1%}, of {_rows_of(figure)} {of}"
            yield title, f"{figure.value:.1%}", remark


def _judges(figures: Groups, statistics: Mapping[str, Any]) -> Section:
    basis, judges = statistics["basis"], statistics["judges"]
    alpha = figures[""]["alpha"]
    parts: list[Part] = [Note(basis["warning"], warning=True)] if basis["warning"] else []
    has_kappa = any(figure.value is not None for figure in figures["kappa"].values())
    if has_kappa:
        parts.append(_kappa_map(judges, figures["kappa"]))
        parts.append(_pair_table(judges, figures))
    if basis["kind"] in _BASIS and len(judges) > 1:
        parts.append(_others_table(judges, figures))
    words = ""
    if basis["kind"] in _BASIS:
        words = f"Computed on {counted(basis['rows'], *_BASIS[basis['kind']])}; intervals treat "
        words += "these rows as the sample. "
        audit_rows = int(figures[""]["audit_rows"].value or 0)
        if basis["kind"] == "audit" and audit_rows != basis["rows"]:
            words += f"Of {audit_rows:,} audit rows, drawn with different shares, each counts by "
            words += "1 / share; so many drawn with one share would tell as much. "
    if alpha.value is not None:
        words += (
            f"Krippendorff's alpha measures how far all judges agree beyond chance: 1 is full "
            f"agreement, 0 is chance. It is {_with_interval(alpha)}: {_alpha_words(alpha)} "
            f"(reliable from {RELIABLE_ALPHA:g}, tentative conclusions from {LEAST_ALPHA:g}). "
        )
        words += "Cohen's kappa measures the same for two judges."
    elif has_kappa:
        words += "Cohen's kappa measures how far two judges agree beyond chance: 1 is full "
        words += "agreement, 0 is chance."
    changed = figures[""].get("changed_verdicts", NO_FIGURE)
    if changed.value is not None:
        words += (
            f" Asking that stops when another verdict is improbable would have given another "
            f"verdict to a share of {_with_interval(changed)} of {_rows_of(changed)} with all "
            f"votes, after {number(figures['']['early_votes_per_row'].value, 2)} votes each; all "
            f"rows have {number(figures['']['votes_per_row'].value, 2)}."
        )
    return Section("How far the judges agree", words.strip(), tuple(parts))


def judge_pairs(judges: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield two short names and the name of the pair's figures, for every two judges."""
    names = short_names(judges)
    for first, second in combinations(judges, 2):
        yield names[first], names[second], f"{first} | {second}"


def _kappa_map(judges: Sequence[str], kappas: Mapping[str, Figure]) -> HeatMap:
    names = tuple(short_names(judges).values())
    by_pair = {
        frozenset((first, second)): kappas[pair].value
        for first, second, pair in judge_pairs(judges)
    }
    values = tuple(tuple(by_pair.get(frozenset((row, other))) for other in names) for row in names)
    return HeatMap("Cohen's kappa by pair", names, names, values, scale=(0.0, 1.0))


def _pair_table(judges: Sequence[str], figures: Groups) -> Table:
    rows = tuple(
        (
            f"{first}, {second}",
            kappa.n,
            figures["same_vote"][pair].value,
            kappa.value,
            span(kappa.interval, 3),
            kappa.words,
        )
        for first, second, pair in judge_pairs(judges)
        if (kappa := figures["kappa"][pair])
    )
    columns = ("pair", "rows", "same vote", "kappa", "95 %", "in words")
    return Table(columns, rows, "Pairs: share of rows with the same vote, and kappa", 3)


def _others_table(judges: Sequence[str], figures: Groups) -> Table:
    published = any(judge in PUBLISHED_AGREEMENT for judge in judges)
    rows = []
    for judge in judges:
        majority = figures["with_majority"][judge]
        cells = (
            judge,
            figures["with_others"][judge].value,
            majority.n,
            majority.value,
            span(majority.interval, 3),
        )
        rows.append((*cells, PUBLISHED_AGREEMENT.get(judge)) if published else cells)
    columns = ("judge", "as another", "rows", "as most others", "95 %",
               *(("published",) if published else ()))  # fmt: skip
    title = "How often a judge votes as another judge, and as most others (without ties)"
    if published:
        title += "; published: with the others, from votes that stopped early (arXiv 2604.23734)"
    return Table(columns, tuple(rows), title, 3)


def _rates(figures: Groups, judges: Sequence[str]) -> Section:
    title = "Votes of each judge"
    if not judges:
        return Section(title, "", ())
    names = short_names(judges)
    groups = [
        (heading, bars)
        for rate, heading in (
            ("yes_rate", "asked regardless of the other votes"),
            ("yes_rate_all_votes", "all votes cast"),
        )
        if (bars := bars_of((names[judge], figures[rate][judge]) for judge in judges))
    ]
    alone = f": {groups[0][0]}" if len(groups) == 1 else ""
    rows = tuple(
        (
            judge,
            figures["abstention_rate"].get(judge, NO_FIGURE).value,
            same.n,
            same.value,
            kappa.value,
            span(kappa.interval, 3),
        )
        for judge, kappa in figures["kappa_with_source_label"].items()
        if (same := figures["with_source_label"][judge])
    )
    columns = ("judge", "abstained", "rows with label", "as the label", "kappa", "95 %")
    parts: tuple[Part, ...] = (
        Bars(f"Share of yes by judge{alone}", "share of yes", tuple(groups), top=1.0),
        Table(columns, rows, "Abstentions, and the corpus's own label (grade 1 is yes)", 3),
    )
    words = "Shares of yes of all votes cast are biased where the panel stops early: the judges "
    words += (
        "asked last see only the rows that the others left open. The last row of the table covers "
    )
    words += "all rows with a verdict and a label of the corpus."
    return Section(title, words, parts)


def _teacher(total: Mapping[str, Figure], statistics: Mapping[str, Any]) -> Section:
    agreement, auc = total["teacher_agreement"], total["teacher_auc"]
    by_verdict = statistics["score_by_verdict"]
    parts: list[Part] = []
    words = "No row has both a teacher's score and a panel's vote."
    if agreement.value is not None:
        disagree = int(total["teacher_disagrees"].value or 0)
        words = (
            f"Score and verdict are on the same side of .5 for a share of "
            f"{_with_interval(agreement)}; {counted(disagree, 'row')} differ: such a row trains "
            "verdict and texts, not the score."
        )
        if auc.value is not None:
            words += f" AUC, the chance that a yes scores above a no: {auc.value:.3f}; "
            words += ".5 is chance."
            if error := total.get("teacher_auc_error", NO_FIGURE).value:
                words += f" It may be off by {error:.2g}: not all ranks of so many rows are kept."
        counts = tuple(
            tuple(float(by_verdict[verdict][place]) for verdict in _VERDICTS)
            for place in range(len(by_verdict["buckets"]))
        )
        both = statistics["teachers_on_the_panel"]
        if both:
            text = f"{', '.join(both)} is both teacher and judge, which raises the agreement of "
            parts.append(Note(f"{text}teacher and panel: these figures say less.", warning=True))
        names = tuple(by_verdict["buckets"])
        parts.append(
            HeatMap(
                "Rows by teacher score and verdict", names, _VERDICTS, counts,
                "teacher score", "verdict", decimals=0,
            )
        )  # fmt: skip
    columns = ("source", "rows", "yes", "undecided", "with score", "teacher agrees", "95 %",
               "label agrees")  # fmt: skip
    rows = [
        (
            source["source"] or "(none)", source["rows"], source["yes_rate"], source["undecided"],
            source["teacher_rows"], source["teacher_agreement"],
            span(source["teacher_interval"], 3), source["label_agreement"],
        )
        for source in statistics["sources"]
    ]  # fmt: skip
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


def _rows(examples: Mapping[str, Any]) -> Section:
    parts = tuple(
        Excerpts(title, tuple(map(_excerpt, examples[name])))
        for name, title in (
            ("panel_no", "The teacher scores high, the panel says no"),
            ("panel_yes", "The teacher scores low, the panel says yes"),
        )
        if examples[name]
    )
    words = "The largest disagreements each way, with the texts cut; review.jsonl has more of them."
    return Section("Where teacher and panel disagree most", words, parts)


def _excerpt(row: Mapping[str, Any]) -> Excerpt:
    names = short_names(list(row["votes"]))
    votes = ", ".join(f"{names[judge]}: {vote or '-'}" for judge, vote in row["votes"].items())
    facts = [
        ("teacher score", f"{row['teacher_score']:.3f}"),
        ("verdict", row["verdict"]),
        ("votes", votes or "-"),
        ("source label", "-" if row["source_label"] is None else str(row["source_label"])),
        ("source", row["source"] or "-"),
        ("query, document", f"{row['query_id']}, {row['doc_id']}"),
    ]
    return Excerpt(row["query"], tuple(facts), (("document", row["document"]),))


def short_names(judges: Sequence[str]) -> dict[str, str]:
    """Return names without their provider, where they stay distinct."""
    ends = [judge.rpartition("/")[2] for judge in judges]
    return {
        judge: end if end and ends.count(end) == 1 else judge
        for judge, end in zip(judges, ends, strict=True)
    }


def _with_interval(figure: Figure) -> str:
    interval = span(figure.interval, 3)
    return f"{number(figure.value, 3)} ({f'95 %: {interval}' if interval else 'no interval'})"


def _rows_of(figure: Figure) -> str:
    return counted(figure.n or 0, "row")


def _alpha_words(alpha: Figure) -> str:
    known = alpha.words in ("reliable", "unreliable")
    return f"labels of such a panel are {alpha.words}" if known else alpha.words
