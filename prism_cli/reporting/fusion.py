"""Words of page and tables about systems against the first stage, fitted weights, few queries."""

from collections.abc import Iterator, Mapping
from typing import Any

from prism_cli.domain.metrics import MAIN_MEASURE
from prism_cli.domain.significance import SIGNIFICANT
from prism_cli.reporting.page import Note, Part, Section, Table
from prism_cli.wording import counted

AGAINST_FIRST_STAGE = f"sets against the first stage (p <= {SIGNIFICANT} before correction)"
FEW_QUERIES = 30
"""Below them a difference or a fitted weight says little."""
LEAST_QUERIES = 6
"""Fewest queries that can differ significantly: the least p of n pairs is 2 / 2**n."""


def against_first_stage(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each system: the sets above, level and below, and the names of the last;
    [] for an evaluation of an earlier version."""
    against = metrics["statistics"].get("against_first_stage", {})
    return [
        {
            "system": system,
            **{way: len(sets[way]) for way in ("above", "level", "below")},
            "below on": ", ".join(sets["below"]) or "none",
        }
        for system, sets in against.items()
    ]


def few_queries(metrics: Mapping[str, Any]) -> str | None:
    """Return a line on sets whose comparisons rest on few queries; None without such sets."""
    counts = {name: one["queries"] for name, one in metrics["datasets"].items()}
    few = {name: count for name, count in counts.items() if count < FEW_QUERIES}
    if not few or not metrics["statistics"]["comparisons"]:
        return None
    sets = ", ".join(f"{name} ({counted(n, 'query', 'queries')})" for name, n in few.items())
    none = f"; fewer than {LEAST_QUERIES} cannot show any (p <= {SIGNIFICANT})"
    least = none if min(few.values()) < LEAST_QUERIES else ""
    return f"{sets}: so few queries say little about differences between systems{least}"


def fitted_weights(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each model whose fusion was fitted."""
    for model, fit in metrics.get("fusion", {}).items():
        if "queries" in fit:
            weight, values = fit["weight"], fit[MAIN_MEASURE]
            count = sum(one["count"] for one in fit["queries"].values())
            queries, sets = counted(count, "query", "queries"), counted(len(fit["queries"]), "set")
            if len(set(values.values())) == 1:
                yield (
                    f"{model}: all weights give the same {MAIN_MEASURE}, {values['0']:.4f}, on "
                    f"{queries} of {sets} that are not reported: the weight is 0, the model alone"
                )
                continue
            yield (
                f"{model}: the first stage's weight {weight:g} is best on {queries} of {sets} that "
                f"are not reported: {MAIN_MEASURE} {values[f'{weight:g}']:.4f}, the model alone "
                f"{values['0']:.4f}, the first stage {values['1']:.4f}. Use it with "
                f"--fuse {weight:g}"
                + ("; so few queries say little" if count < FEW_QUERIES else "")
            )


def fusion_section(metrics: Mapping[str, Any]) -> list[Section]:
    """Return the section about fusion; [] where nothing was fused."""
    fusion = metrics.get("fusion", {})
    if not fusion:
        return []
    parts: list[Part] = [Note(line) for line in fitted_weights(metrics)]
    fits = {model: fit[MAIN_MEASURE] for model, fit in fusion.items() if "queries" in fit}
    if fits:
        weights = next(iter(fits.values()))
        rows = [(weight, *(values[weight] for values in fits.values())) for weight in weights]
        parts.append(Table(("weight", *fits), tuple(rows), f"{MAIN_MEASURE} by weight"))
    given = [(model, fit["weight"]) for model, fit in fusion.items() if fit["weight"] is not None]
    if given:
        parts.append(Table(("model", "weight"), tuple(given), "Weight of the first stage"))
    return [
        Section(
            "How is the model fused with the first stage?",
            "fused: (1 - weight) times the model's logit plus weight times the first stage's "
            "score, each scaled to 0 to 1 over the query's candidates. rrf: reciprocal rank "
            "fusion, the sum of 1 / (60 + rank).",
            tuple(parts),
        )
    ]
