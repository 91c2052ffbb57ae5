"""What the report says of a ranking, from metrics.json alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from prism_cli.domain.metrics import PRIMARY
from prism_cli.reporting.page import (
    Bar,
    Bars,
    Cell,
    Excerpt,
    Excerpts,
    Note,
    Page,
    Part,
    Section,
    Table,
)
from prism_cli.wording import counted

Metrics = Mapping[str, Any]


def page(metrics: Metrics) -> Page:
    """The report of one evaluation."""
    sets = list(metrics["ranking"])
    return Page(
        f"Ranking on {', '.join(sets)}",
        _headline(metrics),
        sections(metrics),
        _highlights(metrics),
        metrics["provenance"],
    )


def sections(metrics: Metrics) -> tuple[Section, ...]:
    """Measures, comparisons, the queries that moved, and what the numbers rest on."""
    found = [_measures(metrics)]
    if metrics["statistics"]["comparisons"]:
        found += [_comparisons(metrics), _moved(metrics)]
    return (*found, _ground(metrics))


def bars_by_set(metrics: Metrics) -> Bars:
    """The main measure of every system on every set, with intervals."""
    intervals = metrics["statistics"]["intervals"]
    groups = tuple(
        (
            dataset,
            tuple(
                Bar(name, values[PRIMARY], *intervals[dataset][name][PRIMARY])
                for name, values in systems.items()
            ),
        )
        for dataset, systems in metrics["ranking"].items()
    )
    return Bars(f"{PRIMARY} by data set", f"{PRIMARY}, 95 % intervals", groups, top=1.0)


def average_name(metrics: Metrics) -> str:
    """What the mean over data sets is called: never more than it is."""
    measured, missing = len(metrics["ranking"]), len(metrics["missing_sets"])
    if missing:
        return f"average of {measured} of the {measured + missing} sets"
    return f"average of the {measured} sets"


def _shown(metrics: Metrics) -> tuple[str, Mapping[str, Mapping[str, float]]]:
    """What stands for the whole: the average, or the only set."""
    if "average" in metrics:
        return average_name(metrics), metrics["average"]
    ((name, systems),) = metrics["ranking"].items()
    return name, systems


def _headline(metrics: Metrics) -> str:
    where, systems = _shown(metrics)
    best = max(systems, key=lambda name: systems[name][PRIMARY])
    baseline = next(iter(systems))
    told = f"{best} reaches {PRIMARY} {systems[best][PRIMARY]:.3f} ({where})"
    if best != baseline:
        told += f", {baseline} {systems[baseline][PRIMARY]:.3f}"
        won = [
            one
            for one in metrics["statistics"]["comparisons"]
            if (one["system"], one["baseline"]) == (best, baseline)
        ]
        sure = sum(one["p_holm"] <= 0.05 and one["difference"] > 0 for one in won)
        told += f"; better beyond chance on {sure} of {len(won)} sets"
    elif len(systems) > 1:
        others = [f"{name} {one[PRIMARY]:.3f}" for name, one in systems.items() if name != best]
        told += f"; no other system is above it ({', '.join(others)})"
    return told + "." + _missing_words(metrics)


def _missing_words(metrics: Metrics) -> str:
    missing = metrics["missing_sets"]
    return f" Not measured, as they are missing: {', '.join(missing)}." if missing else ""


def _highlights(metrics: Metrics) -> tuple[tuple[str, str, str], ...]:
    where, systems = _shown(metrics)
    intervals = metrics["statistics"]["intervals"].get(where, {})
    found = []
    for name, values in systems.items():
        remark = f"{PRIMARY}, {where}"
        if name in intervals:
            low, high = intervals[name][PRIMARY]
            remark += f", 95 % interval {low:.3f} to {high:.3f}"
        found.append((name, f"{values[PRIMARY]:.3f}", remark))
    return tuple(found)


def _measures(metrics: Metrics) -> Section:
    parts: list[Part] = []
    if "average" in metrics:
        bars = tuple(Bar(name, values[PRIMARY]) for name, values in metrics["average"].items())
        name = average_name(metrics)
        if len(bars) > 1:
            parts.append(Bars(f"{PRIMARY}, {name}", PRIMARY, ((name, bars),), top=1.0))
        parts += _beside_the_paper(metrics)
    parts.append(bars_by_set(metrics))
    if "average" in metrics:
        parts.append(_table(average_name(metrics).capitalize(), metrics["average"]))
    for dataset, systems in metrics["ranking"].items():
        count = metrics["datasets"][dataset]["queries"]
        parts.append(_table(f"{dataset}, {counted(count, 'query', 'queries')}", systems))
    return Section(
        "How well is it ranked?",
        "From 0 to 1, more is better. nDCG@10: relevant documents among the first ten, the "
        "earlier the more they count, over the best order there is. AP: mean precision at the "
        "relevant documents. RR@10: 1 over the rank of the first relevant one. P and R: share "
        "of the first k that is relevant, and of the relevant that is found. Judged@10: share "
        "of the first ten that somebody judged. Means over queries; a query without candidates "
        "counts 0. The first system is the first stage, whose candidates all others order anew.",
        tuple(parts),
    )


def _beside_the_paper(metrics: Metrics) -> list[Note]:
    """The paper's own averages; metrics.json has them only where the same was measured."""
    paper = metrics.get("paper")
    if not paper:
        return []
    told = ", ".join(f"{name} {value:.4f}" for name, value in paper[PRIMARY].items())
    return [Note(f"The paper's, over the same candidates: {told} ({paper['source']}).")]


def _table(title: str, systems: Mapping[str, Mapping[str, float]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (measure, *(values[measure] for values in systems.values()))
        for measure in next(iter(systems.values()))
    ]
    return Table(("measure", *systems), tuple(rows), title)


def _comparisons(metrics: Metrics) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (
            one["dataset"],
            one["system"],
            one["baseline"],
            one["difference"],
            one["win"],
            one["tie"],
            one["loss"],
            _p(one["p"]),
            _p(one["p_holm"]),
        )
        for one in metrics["statistics"]["comparisons"]
    ]
    method = metrics["statistics"]["method"]
    columns = ("set", "system", "against", "difference", "won", "tied", "lost", "p", "p, Holm")
    words = f"Test: {method['test']}. Correction: {method['correction']}. Seed {method['seed']}."
    return Section(
        "Is the difference more than chance?",
        f"Each pair of systems on the same queries, by {PRIMARY}; won, tied and lost are queries. "
        "p: how often chance alone would show such a difference; p, Holm: the same, held down for "
        "the number of comparisons.",
        (
            Table(columns, tuple(rows), "Paired tests"),
            Note(f"{words} Intervals: {method['intervals']}."),
        ),
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _moved(metrics: Metrics) -> Section:
    texts = metrics["examples"]["texts"]
    parts = []
    for block in metrics["examples"]["moved"]:
        for way in ("gained", "lost"):
            shown = tuple(_excerpt(one, texts[block["dataset"]]) for one in block[way])
            if shown:
                name = f"{block['dataset']}: {block['system']} against {block['baseline']}"
                parts.append(Excerpts(f"{name}, {way} most", shown))
    return Section(
        "Which queries moved most?",
        f"Up to ten queries each way by {PRIMARY}, with the first document before and after.",
        tuple(parts) or (Note("None did."),),
    )


def _excerpt(one: Mapping[str, Any], texts: Mapping[str, str]) -> Excerpt:
    facts = [("query", one["query_id"]), (PRIMARY, f"{one['before']:.3f} → {one['after']:.3f}")]
    best = one["best_judged"]
    if best:
        ranks = [best[name] or "not found" for name in ("rank_before", "rank_after")]
        facts.append(("rank of the best judged document", f"{ranks[0]} → {ranks[1]}"))
    return Excerpt(one["query"], tuple(facts), tuple(_texts(one, texts)))


def _texts(one: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    shown: dict[str, list[str]] = {}
    for place, word in (
        ("top_before", "first before"),
        ("top_after", "first after"),
        ("best_judged", "best judged"),
    ):
        if one[place]:
            shown.setdefault(one[place]["doc_id"], []).append(word)
    grades = {
        one[place]["doc_id"]: one[place]["grade"]
        for place in ("top_before", "top_after", "best_judged")
        if one[place]
    }
    for doc_id, words in shown.items():
        grade = "not judged" if grades[doc_id] is None else f"grade {grades[doc_id]}"
        title = f"{', '.join(words)}: {doc_id}, {grade}"
        yield title, texts.get(doc_id, "(not in the corpus)")


def _ground(metrics: Metrics) -> Section:
    parts: list[Part] = []
    missing = metrics["missing_sets"]
    if missing:
        parts.append(Note(_missing_words(metrics).strip(), warning=True))
    for dataset, figures in metrics["datasets"].items():
        empty, gone = figures["queries_without_candidates"], figures["judged_missing"]
        if empty:
            told = f"{dataset}: {empty:,} of {figures['queries']:,} queries have no candidates"
            parts.append(Note(f"{told}; they count 0.", warning=True))
        if gone:
            told = f"{dataset}: {gone:,} judged documents are not in its corpus"
            parts.append(Note(f"{told}; they count as never found.", warning=True))
        if unknown := figures.get("judged_unknown_queries"):
            told = f"{dataset}: {unknown:,} judged queries are not among its queries"
            parts.append(Note(f"{told}; they are not measured.", warning=True))
        for kind in ("queries", "documents"):
            if unknown := figures.get(f"run_unknown_{kind}"):
                told = f"{dataset}: {unknown:,} {kind} of the run are not among its {kind}"
                parts.append(Note(f"{told}.", warning=True))
        if origin := figures.get("fetched_from"):
            parts.append(Note(f"{dataset}: fetched from {origin}."))
    named = {
        "queries": "queries",
        "queries_without_candidates": "without candidates",
        "candidates": "candidates",
        "judged_relevant": "judged relevant",
        "judged_missing": "judged, not in the corpus",
    }
    rows = [
        (dataset, *(figures[name] for name in named))
        for dataset, figures in metrics["datasets"].items()
    ]
    parts.append(Table(("set", *named.values()), tuple(rows), "Data sets"))
    columns = ("set", "system", "pairs", "cut", "without a score", "unjudged in the top 10")
    runs = [
        (dataset, name, one["pairs"], one["truncated"], one["unscored"], one["unjudged_share"])
        for dataset, systems in metrics["runs"].items()
        for name, one in systems.items()
    ]
    parts.append(Table(columns, tuple(runs), "Rankings"))
    return Section(
        "What do the numbers rest on?",
        "Unjudged documents count as not relevant: where many of the first ten are unjudged, a "
        "system may be better than it looks. Documents that are too long are cut; candidates "
        "without a score stand last.",
        tuple(parts),
    )
