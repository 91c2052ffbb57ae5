"""The part of a card with figures of finished evaluations of this very model."""

from collections.abc import Iterator, Sequence
from typing import Any

from prism_cli.domain.metrics import PRIMARY
from prism_cli.exporting.evaluations import Evaluation
from prism_cli.exporting.markdown import code, plain, table


def evaluation_part(evaluations: Sequence[Evaluation]) -> str:
    """A table for each; says so where there is none."""
    parts = [part for one in evaluations for part in _of(one)]
    if not parts:
        return (
            "## Evaluation\n\nNone was found: no finished `prism eval` beside the run measured "
            "these weights with this prompt."
        )
    return "\n\n".join(("## Evaluation", *parts))


def _of(one: Evaluation) -> Iterator[str]:
    provenance = one.metrics["provenance"]
    yield (
        f"**{plain(one.name)}**, by {code(' '.join(provenance['command']))} "
        f"(prism {plain(provenance['versions'].get('prism', 'unknown'))}; {plain(one.made)}; "
        f"metrics.json {code(one.sha256)})"
    )
    ranking = one.metrics.get("ranking")
    if ranking is None:
        yield "Its figures stand in its report."
        return
    first = provenance["config"].get("first_stage")
    systems = [name for name in (first, one.system) if name]
    yield table(
        ("set", "system", PRIMARY, "95 %", "pairs", "documents cut"),
        [
            list(_row(one, dataset, system))
            for dataset, found in ranking.items()
            for system in systems
            if system in found
        ],
    )
    tests = [
        test
        for test in one.metrics["statistics"]["comparisons"]
        if {test["system"], test["baseline"]} == set(systems)
    ]
    for test in tests:
        yield (
            f"{plain(test['dataset'])}: {code(test['system'])} against {code(test['baseline'])}: "
            f"{test['difference']:+.4f}, p {test['p_holm']:.4g} after Holm."
        )


def _row(one: Evaluation, dataset: str, system: str) -> Iterator[str]:
    values: dict[str, Any] = one.metrics["ranking"][dataset][system]
    low, high = one.metrics["statistics"]["intervals"][dataset][system][PRIMARY]
    made = one.metrics["runs"][dataset].get(system, {})
    yield plain(dataset)
    yield "this model" if system == one.system else f"first stage, {code(system)}"
    yield f"{values[PRIMARY]:.4f}"
    yield f"{low:.4f} to {high:.4f}"
    yield str(made.get("pairs", ""))
    yield str(made.get("truncated", ""))
