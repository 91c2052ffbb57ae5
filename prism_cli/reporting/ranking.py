"""Report page of `prism eval`, from metrics.json alone, which `evaluation.ranking` writes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prism_cli.domain.metrics import MAIN_MEASURE
from prism_cli.reporting.figures import Figure, Metrics, average_name, bars_of, figures_of
from prism_cli.reporting.fusion import (
    AGAINST_FIRST_STAGE,
    against_first_stage,
    few_queries,
    fusion_section,
)
from prism_cli.reporting.numbers import with_interval
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


def page(metrics: Metrics) -> Page:
    """Return the report."""
    sets = list(metrics["ranking"])
    return Page(
        f"Ranking on {', '.join(sets)}",
        _headline(metrics),
        sections(metrics),
        _highlights(metrics),
        metrics["provenance"],
    )


def sections(metrics: Metrics) -> tuple[Section, ...]:
    """Return measures, comparisons, the queries that changed most, and the data behind them."""
    shown = [_measures(metrics)]
    if metrics["statistics"]["comparisons"]:
        shown += [_comparisons(metrics), *fusion_section(metrics), _changed_queries(metrics)]
    return (*shown, _ground(metrics))


def bars_by_set(metrics: Metrics) -> Bars:
    """Return the main measure of every system on every set, with intervals."""
    figures = _primary(metrics)
    groups = tuple((dataset, _bars(figures, dataset)) for dataset in metrics["ranking"])
    return Bars(f"{MAIN_MEASURE} by data set", f"{MAIN_MEASURE}, 95 % intervals", groups, top=1.0)


def _primary(metrics: Metrics) -> list[Figure]:
    return [figure for figure in figures_of(metrics) if figure.name == MAIN_MEASURE]


def _bars(figures: Iterable[Figure], group: str) -> tuple[Bar, ...]:
    return bars_of((figure.system, figure) for figure in figures if figure.group == group)


def _shown(metrics: Metrics) -> tuple[str, tuple[Bar, ...]]:
    """Return the name of the average, or of the only set, with a bar for each system."""
    name = average_name(metrics) if "average" in metrics else next(iter(metrics["ranking"]))
    return name, _bars(_primary(metrics), name)


def _headline(metrics: Metrics) -> str:
    where, bars = _shown(metrics)
    best, baseline = max(bars, key=lambda bar: bar.value), bars[0]
    text = f"{best.name} reaches {MAIN_MEASURE} {best.value:.3f} ({where})"
    if best is not baseline:
        text += f", {baseline.name} {baseline.value:.3f}"
        tests = [
            test
            for test in metrics["statistics"]["comparisons"]
            if (test["system"], test["baseline"]) == (best.name, baseline.name)
        ]
        better = sum(test["p_holm"] <= 0.05 and test["difference"] > 0 for test in tests)
        text += f"; significantly better on {better} of {len(tests)} sets"
    elif len(bars) > 1:
        others = [f"{bar.name} {bar.value:.3f}" for bar in bars[1:]]
        text += f"; no other system is above it ({', '.join(others)})"
    return text + "." + _missing_words(metrics)


def _missing_words(metrics: Metrics) -> str:
    missing = metrics["missing_sets"]
    return f" Not measured, as they are missing: {', '.join(missing)}." if missing else ""


def _highlights(metrics: Metrics) -> tuple[tuple[str, str, str], ...]:
    where, bars = _shown(metrics)
    return tuple(
        (
            bar.name,
            f"{bar.value:.3f}",
            with_interval(f"{MAIN_MEASURE}, {where}", bar),
        )
        for bar in bars
    )


def _measures(metrics: Metrics) -> Section:
    parts: list[Part] = []
    figures = figures_of(metrics)
    if "average" in metrics:
        name, bars = _shown(metrics)
        if len(bars) > 1:
            parts.append(Bars(f"{MAIN_MEASURE}, {name}", MAIN_MEASURE, ((name, bars),), top=1.0))
        parts += _beside_the_paper(metrics)
    parts.append(bars_by_set(metrics))
    if "average" in metrics:
        parts.append(_table(name.capitalize(), figures, name))
    for dataset in metrics["ranking"]:
        count = metrics["datasets"][dataset]["queries"]
        parts.append(_table(f"{dataset}, {counted(count, 'query', 'queries')}", figures, dataset))
    return Section(
        "How good is the ranking?",
        "From 0 to 1; higher is better. nDCG@10: relevant documents among the first ten, "
        "weighted by rank, relative to the best possible order. AP: mean precision at the "
        "relevant documents. RR@10: 1 over the rank of the first relevant one. P and R: share "
        "of the first k that is relevant, and share of the relevant documents that is found. "
        "Judged@10: share of the first ten that is judged. Means over queries; a query without "
        "candidates counts 0. The first system is the first stage, whose candidates the "
        "others reorder.",
        tuple(parts),
    )


def _beside_the_paper(metrics: Metrics) -> list[Note]:
    """Return the paper's averages, which metrics.json has only if the same was measured."""
    paper = metrics.get("paper")
    if not paper:
        return []
    values = ", ".join(f"{name} {value:.4f}" for name, value in paper[MAIN_MEASURE].items())
    return [Note(f"The paper's, over the same candidates: {values} ({paper['source']}).")]


def _table(title: str, figures: Iterable[Figure], group: str) -> Table:
    rows: dict[str, list[Cell]] = {}
    systems: dict[str, None] = {}
    for figure in figures:
        if figure.group == group:
            systems[figure.system] = None
            rows.setdefault(figure.name, [figure.name]).append(figure.value)
    return Table(("measure", *systems), tuple(map(tuple, rows.values())), title)


def _comparisons(metrics: Metrics) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (
            test["dataset"],
            test["system"],
            test["baseline"],
            test["difference"],
            test["win"],
            test["tie"],
            test["loss"],
            _p(test["p"]),
            _p(test["p_holm"]),
        )
        for test in metrics["statistics"]["comparisons"]
    ]
    against, few = against_first_stage(metrics), few_queries(metrics)
    method = metrics["statistics"]["method"]
    columns = ("set", "system", "against", "difference", "won", "tied", "lost", "p", "p, Holm")
    words = f"Test: {method['test']}. Correction: {method['correction']}. Seed {method['seed']}."
    return Section(
        "Is the difference more than chance?",
        f"Each pair of systems on the same queries, by {MAIN_MEASURE}; won, tied and lost are "
        "queries. p: probability of such a difference by chance alone; p, Holm: corrected for the "
        "number of comparisons.",
        (
            *([Note(few, warning=True)] if few else []),
            *([_against(against)] if against else []),
            Table(columns, tuple(rows), "Paired tests"),
            Note(f"{words} Intervals: {method['intervals']}."),
        ),
    )


def _against(rows: Sequence[Mapping[str, Any]]) -> Table:
    cells = tuple(tuple(row.values()) for row in rows)
    return Table(tuple(rows[0]), cells, AGAINST_FIRST_STAGE)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _changed_queries(metrics: Metrics) -> Section:
    texts = metrics["examples"]["texts"]
    parts = []
    for block in metrics["examples"]["moved"]:
        for way in ("gained", "lost"):
            shown = tuple(_excerpt(query, texts[block["dataset"]]) for query in block[way])
            if shown:
                name = f"{block['dataset']}: {block['system']} against {block['baseline']}"
                parts.append(Excerpts(f"{name}, {way} most", shown))
    return Section(
        "Which queries changed most?",
        f"Up to ten queries each way by {MAIN_MEASURE}, with the first document before and after.",
        tuple(parts) or (Note("None did."),),
    )


def _excerpt(query: Mapping[str, Any], texts: Mapping[str, str]) -> Excerpt:
    facts = [
        ("query", query["query_id"]),
        (MAIN_MEASURE, f"{query['before']:.3f} → {query['after']:.3f}"),
    ]
    best = query["best_judged"]
    if best:
        ranks = [best[name] or "not found" for name in ("rank_before", "rank_after")]
        facts.append(("rank of the best judged document", f"{ranks[0]} → {ranks[1]}"))
    return Excerpt(query["query"], tuple(facts), tuple(_texts(query, texts)))


def _texts(query: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    shown: dict[str, list[str]] = {}
    for place, word in (
        ("top_before", "first before"),
        ("top_after", "first after"),
        ("best_judged", "best judged"),
    ):
        if query[place]:
            shown.setdefault(query[place]["doc_id"], []).append(word)
    grades = {
        query[place]["doc_id"]: query[place]["grade"]
        for place in ("top_before", "top_after", "best_judged")
        if query[place]
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
            text = f"{dataset}: {empty:,} of {figures['queries']:,} queries have no candidates"
            parts.append(Note(f"{text}; they count 0.", warning=True))
        if gone:
            text = f"{dataset}: {gone:,} judged documents are not in its corpus"
            parts.append(Note(f"{text}; they count as not found.", warning=True))
        if unknown := figures.get("judged_unknown_queries"):
            text = f"{dataset}: {unknown:,} judged queries are not among its queries"
            parts.append(Note(f"{text}; they are not measured.", warning=True))
        for kind in ("queries", "documents"):
            if unknown := figures.get(f"run_unknown_{kind}"):
                text = f"{dataset}: {unknown:,} {kind} of the run are not among its {kind}"
                parts.append(Note(f"{text}.", warning=True))
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
    columns = (
        "set",
        "system",
        "pairs",
        "cut",
        "in windows",
        "without a score",
        "unjudged in the top 10",
    )
    runs = [
        (
            dataset,
            name,
            run["pairs"],
            run["truncated"],
            run.get("long_documents", 0),
            run["unscored"],
            run["unjudged_share"],
        )
        for dataset, systems in metrics["runs"].items()
        for name, run in systems.items()
    ]
    parts.append(Table(columns, tuple(runs), "Rankings"))
    return Section(
        "What are the numbers based on?",
        "Unjudged documents count as not relevant: where many of the first ten are unjudged, a "
        "system may be better than it looks. Documents that are too long are read in windows, or "
        "cut with --long-documents cut; candidates without a score rank last.",
        tuple(parts),
    )
