"""Sections of the quality report on a judge's ratings and on people's agreement with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from prism_cli.domain.rating_task import HIGH, LOW, OVERALL, RATINGS, SEVERE, SEVERE_CAP
from prism_cli.reporting.figures import Figure, Groups, bars_of, grouped
from prism_cli.reporting.numbers import span
from prism_cli.reporting.page import Bars, HeatMap, Note, Part, Section, Table
from prism_cli.wording import counted

_MEASURES = {
    "people_mean": "people",
    "judge_mean": "judge",
    "kappa": "kappa",
    "spearman": "rho",
    "mean_absolute_difference": "apart",
    "same": "same",
    "within_one": "within one",
    "alpha": "people's alpha",
}
_FEW_ROWS = 30


def sections(metrics: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return the sections on ratings and on people beside the judge, as far as there are any."""
    figures = grouped(metrics)
    parts = []
    if "ratings" in metrics["quality"]:
        parts.append(_ratings(metrics, figures["ratings"]))
    if "people" in metrics["quality"]:
        parts.append(_people(metrics["quality"]["people"], figures))
    return tuple(parts)


def _ratings(metrics: Mapping[str, Any], figures: Mapping[str, Figure]) -> Section:
    ratings, statistics = metrics["quality"]["ratings"], metrics["statistics"]
    judge = metrics["judge"]
    parts: list[Part] = []
    if judge["in_panel"]:
        parts.append(
            Note(
                f"The judge labelled these rows or wrote their texts ({judge['in_panel']}) "
                "and rates its own work (--allow-same-judge).",
                warning=True,
            )
        )
    if ratings["refused"]:
        why = "; ".join(f"{n:,} x {w}" for w, n in statistics["rating_refusals"].items())
        parts.append(
            Note(
                f"Without a rating: {counted(ratings['refused'], 'row')}: {why}",
                ratings["rows"] == 0,
            )
        )
    if ratings["texts_cut"]:
        parts.append(Note(f"Of {counted(ratings['texts_cut'], 'row')} the judge saw a part only."))
    if ratings["rows"]:
        bars = bars_of((_words(name), figures[name]) for name in RATINGS)
        parts.append(
            Bars("Mean ratings", f"rating, {LOW} to {HIGH}", (("", bars),), HIGH, decimals=2)
        )
        counts = statistics["rating_counts"]
        parts.append(
            HeatMap(
                "Share of rows by rating",
                tuple(_words(name) for name in RATINGS),
                tuple(str(point) for point in range(LOW, HIGH + 1)),
                tuple(_shares(counts[name]) for name in RATINGS),
                column_title="rating",
                scale=(0, 1),
            )
        )
    severe = figures[SEVERE].value
    invented = "" if severe is None else f" {severe:.1%} of them hold a severe invention."
    words = (
        f"{judge['spec']} rated {counted(ratings['rows'], 'row')} from {LOW} to {HIGH}.{invented} "
        f"A severe invention limits overall to {SEVERE_CAP}. A decision endpoint's rating is "
        "the mean of its distribution. These are opinions of a model; marks by people take "
        "precedence."
    )
    return Section("Ratings by a judge", words, tuple(parts))


def _people(people: Mapping[str, Any], figures: Groups) -> Section:
    parts: list[Part] = []
    if people["unknown"]:
        parts.append(
            Note(
                f"{people['unknown']:,} rows of the sheets are not among the rated rows.",
                warning=True,
            )
        )
    by_rating = {name: figures[f"people · {name}"] for name in (*RATINGS, SEVERE)}
    rows = by_rating[OVERALL]["people_mean"].n or 0
    if rows < _FEW_ROWS:
        parts.append(Note(f"{rows:,} rows are few: consider the intervals.", warning=True))
    measures = [name for name in _MEASURES if name in by_rating[OVERALL]]
    parts.append(
        Table(
            ("rating", *(_MEASURES[measure] for measure in measures)),
            tuple(
                (_words(name), *(row[measure].value for measure in measures))
                for name, row in by_rating.items()
            ),
            "People and judge on the same rows",
            decimals=2,
        )
    )
    measures.remove("same")  # a column more would not fit; metrics.json has it
    parts.append(
        Table(
            ("rating", *(_MEASURES[measure] for measure in measures)),
            tuple(
                (_words(name), *(span(row[measure].interval, 2) for measure in measures))
                for name, row in by_rating.items()
            ),
            "Their 95 % intervals, by resampled rows",
        )
    )
    words = (
        f"{counted(people['rows'], 'row')} on {counted(people['sheets'], 'sheet')}; a row "
        "rated by several people counts with their mean. Kappa (quadratic weights): agreement of "
        "people and judge beyond chance; 1 is full agreement, 0 is chance. Rho (Spearman's): "
        "agreement on the order of the rows. Apart: mean difference in points; same: less than "
        "half a point. People's alpha (Krippendorff's, ordinal): agreement of people among "
        "themselves, on the scale of kappa."
    )
    return Section("People and the judge", words, tuple(parts))


def _words(name: str) -> str:
    return name.replace("self_", "self-").replace("_", " ")


def _shares(counts: Sequence[int]) -> tuple[float | None, ...]:
    total = sum(counts)
    return tuple(count / total if total else None for count in counts)
