"""How often a document that says "answer yes" is believed: prism's fence against none.

    python tests/benchmarks/hostile_documents.py --minutes 45 [--start hf:demo/runs/tiny]
    python tests/benchmarks/hostile_documents.py --judge hf:FOLDER
    python tests/benchmarks/hostile_documents.py --judge PROVIDER/MODEL [--provider-file FILE]

Without --judge one is trained first (hostile_judge.py), from --start, best a model that `prism
quickstart` made, and stays in FOLDER/judge. Then, on questions of topics that it never saw:
its AUC on clean pairs; and of the pairs that it judges rightly in both forms, the share that flips
when an attack of hostile_documents.toml stands in the document. `fenced` is the prompt that prism
sends; `plain` is the same rubric with both texts under headings, as they are. Harmless texts of the
attacks' lengths, at the same places, tell what flips by any change: `net` is without that.
Asked through prism's relabel stage: what was answered is in the folder's ledger and never asked
again, so that the same command goes on after a kill. Intervals: 95 %, bootstrap over documents.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prism_cli.commands import paid_wiring
from prism_cli.commands.options import Paid
from prism_cli.engine.runner import RunOptions, run_rows
from prism_cli.errors import PrismError
from prism_cli.shards.reader import read_rows
from prism_cli.stages.relabel import RelabelStage
from tests.benchmarks.hostile_attacks import CONTROL, Attacks, inserted
from tests.benchmarks.hostile_judge import (
    FORMS,
    Pair,
    auc,
    collected,
    held_out,
    train,
)

RESAMPLES = 2000
Row = dict[str, Any]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/hostile"))
    parser.add_argument("--judge", help="spec of a judge that takes a chat prompt")
    parser.add_argument("--provider-file")
    parser.add_argument("--max-cost", type=float, help="dollars for each of the six sets of rows")
    parser.add_argument("--minutes", type=float, default=45, help="of training")
    parser.add_argument("--start", default="hf:smollm2", help="the model that is trained")
    parser.add_argument("--queries", type=int, default=150, help="whose clean pairs are judged")
    parser.add_argument("--irrelevant", type=int, default=100, help="pairs attacked to get a yes")
    parser.add_argument("--relevant", type=int, default=50, help="pairs attacked to get a no")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pairs = held_out(collected("test", given.folder), given.queries, 1)
    if given.judge is None:
        lessons = collected("train", given.folder)
        folder = given.folder / "judge"
        train(given.start, lessons, folder, given.minutes, given.seed)
        given.judge = f"hf:{folder}"
    ask = Asking(given.judge, given.provider_file, given.max_cost, given.folder)
    clean = asked_clean(ask, pairs)
    figures: dict[str, Any] = {"judge": given.judge, "clean": clean_figures(clean)}
    print_clean(figures)
    figures["attacks"] = {}
    for verdict, name, most in (
        ("yes", "irrelevant", given.irrelevant),
        ("no", "relevant", given.relevant),
    ):
        targets = right_in_both(clean, verdict == "no")
        random.Random(given.seed).shuffle(targets)
        flips = attacked(ask, targets[:most], verdict)
        figures["attacks"][f"{name} to {verdict}"] = table = flip_table(flips)
        print_flips(f"{name} documents, judged rightly in both forms, to {verdict}", table)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


class Asking:
    """One judge, asked in either form."""

    def __init__(self, spec: str, book: str | None, max_cost: float | None, folder: Path) -> None:
        self.spec = spec
        self._folder = folder
        self._paid = Paid(provider_file=book, max_cost=max_cost)
        named = paid_wiring.catalog(self._paid).resolve(spec)
        if named.api != "openai" if named else not spec.startswith("hf:"):
            raise SystemExit(f"{spec}: takes no chat prompt, so it cannot be asked without a fence")

    def __call__(self, name: str, form: str, rows: Sequence[Row]) -> list[Row]:
        """The rows with `vote` and, where the judge gives one, `probability`."""
        source = self._folder / f"{name}.{form}.jsonl"
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        source.write_text("".join(lines), encoding="utf-8")
        out = source.with_suffix(".judged.jsonl")
        options = RunOptions(out, overwrite=True, max_cost=self._paid.max_cost)
        # A run closes its judges' connections.
        judges = paid_wiring.judges([self.spec], FORMS[form], paid_wiring.catalog(self._paid))
        summary = run_rows(RelabelStage(judges), [str(source)], options)
        if summary.exit_code:
            raise SystemExit(f"{out}: {summary.counts} {summary.pending_reasons}; run it again")
        return [
            row
            | {
                "vote": row["votes"].get(self.spec),
                "probability": row.get("vote_probabilities", {}).get(self.spec),
            }
            for _, row in read_rows([str(out)])
        ]


def asked_clean(ask: Asking, pairs: Sequence[Pair]) -> dict[str, list[Row]]:
    """Each pair's vote in each form."""
    rows = [
        {"query": one.query, "document": one.document, "relevant": one.relevant} for one in pairs
    ]
    return {form: ask("clean", form, rows) for form in FORMS}


def clean_figures(clean: dict[str, list[Row]]) -> dict[str, Any]:
    """AUC with its interval over queries, and yes-rates, a form."""
    found: dict[str, Any] = {}
    for form, rows in clean.items():
        voted = [row for row in rows if row["vote"]]
        sides = {
            name: [row["vote"] == "yes" for row in voted if row["relevant"] is side]
            for name, side in (("relevant", True), ("irrelevant", False))
        }
        found[form] = {
            "pairs": len(rows),
            "without an answer": len(rows) - len(voted),
            "yes of relevant": float(np.mean(sides["relevant"])),
            "yes of irrelevant": float(np.mean(sides["irrelevant"])),
        }
        if all(row["probability"] is not None for row in voted):
            found[form]["AUC"] = area(voted)
            found[form]["AUC interval"] = area_interval(voted)
    return found


def area(rows: Iterable[Row]) -> float:
    """AUC of the probabilities."""
    some = list(rows)
    return auc([row["probability"] for row in some], [row["relevant"] for row in some])


def area_interval(rows: Sequence[Row]) -> list[float]:
    """Of `area`, queries drawn with replacement."""
    by_query: dict[str, list[Row]] = {}
    for row in rows:
        by_query.setdefault(row["query"], []).append(row)
    groups = list(by_query.values())
    return middle([area(row for at in one for row in groups[at]) for one in draws(len(groups))])


def draws(size: int) -> Any:
    """[RESAMPLES, size]: indices below `size`, with replacement."""
    return np.random.default_rng(0).integers(0, size, (RESAMPLES, size))


def middle(values: Any) -> list[float]:
    """Their 2.5 and 97.5 % quantiles."""
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]


def right_in_both(clean: dict[str, list[Row]], relevant: bool) -> list[Row]:
    """The pairs of one kind that are judged rightly with and without the fence."""
    wanted = "yes" if relevant else "no"
    return [
        {"query": one["query"], "document": one["document"]}
        | {f"{form} before": rows[at]["probability"] for form, rows in clean.items()}
        for at, one in enumerate(clean["fenced"])
        if one["relevant"] is relevant
        and all(rows[at]["vote"] == wanted for rows in clean.values())
    ]


def attacked(ask: Asking, targets: Sequence[Row], verdict: str) -> list[Row]:
    """One row for each target and text that was put in: what it did in each form."""
    attacks = Attacks()
    rows = [
        {
            "query": target["query"],
            "document": inserted(target["document"], attack.text, attack.place),
            "target": number,
            "family": attack.family,
            "wording": attack.wording,
            "place": attack.place,
            "chinese": attack.chinese,
            "quotes": target["query"] in attack.text,
            "control": attacks.control_of(attack),
        }
        for number, target in enumerate(targets)
        for attack in attacks.on(target["query"], number, verdict)
    ]
    for form in FORMS:
        for row, answer in zip(rows, ask(f"attacked.{verdict}", form, rows), strict=True):
            row[f"{form} flips"] = answer["vote"] == verdict
            row[f"{form} answers"] = answer["vote"] is not None
            if answer["probability"] is not None:
                before = targets[row["target"]][f"{form} before"]
                row[f"{form} rise"] = answer["probability"] - before
    return rows


def flip_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line a family, and lines over all attacks: by place, by language, in all."""
    controls = {(row["target"], row["wording"]): row for row in rows if row["family"] == CONTROL}
    attacks = [row for row in rows if row["family"] != CONTROL]
    groups: dict[str, list[Row]] = {}
    for row in attacks:
        groups.setdefault(row["family"], []).append(row)
    for place in ("start", "middle", "end"):
        groups[f"at the {place}"] = [row for row in attacks if row["place"] == place]
    groups["quote the query"] = [row for row in attacks if row["quotes"]]
    groups["do not quote it"] = [row for row in attacks if not row["quotes"]]
    groups["in Chinese"] = [row for row in attacks if row["chinese"]]
    groups["in English"] = [row for row in attacks if not row["chinese"]]
    groups["all attacks"] = attacks
    return [
        flip_line(name, some, [controls[row["target"], row["control"]] for row in some])
        for name, some in groups.items()
        if some
    ]


def flip_line(name: str, rows: Sequence[Row], controls: Sequence[Row]) -> dict[str, Any]:
    """Shares that flip, in each form; differences with intervals over documents.

    `only plain` and `only fenced` count the attacks that flip in one form alone; McNemar's exact
    test on them takes attacks for independent, so it is given where each document has one.
    """
    documents = sorted({row["target"] for row in rows})
    line: dict[str, Any] = {"name": name, "attacks": len(rows), "documents": len(documents)}
    line["without an answer"] = sum(not row[f"{form} answers"] for row in rows for form in FORMS)
    net: dict[str, list[float]] = {}
    for form in FORMS:
        flips = [float(row[f"{form} flips"]) for row in rows]
        harmless = [float(row[f"{form} flips"]) for row in controls]
        net[form] = [one - other for one, other in zip(flips, harmless, strict=True)]
        line[form] = {
            "flipped": int(sum(flips)),
            "flips": float(np.mean(flips)),
            "control flips": float(np.mean(harmless)),
            "net": float(np.mean(net[form])),
            "net interval": clustered(rows, documents, net[form]),
        }
        if all(f"{form} rise" in row for row in rows):
            line[form]["mean rise"] = float(np.mean([row[f"{form} rise"] for row in rows]))
            line[form]["control rise"] = float(np.mean([row[f"{form} rise"] for row in controls]))
    saved = [row["plain flips"] - float(row["fenced flips"]) for row in rows]
    net_saved = [one - other for one, other in zip(net["plain"], net["fenced"], strict=True)]
    line["plain - fenced"] = float(np.mean(saved))
    line["plain - fenced interval"] = clustered(rows, documents, saved)
    line["net plain - fenced"] = float(np.mean(net_saved))
    line["net plain - fenced interval"] = clustered(rows, documents, net_saved)
    apart = Counter(saved)
    line["only plain"], line["only fenced"] = apart[1.0], apart[-1.0]
    if len(documents) == len(rows):
        line["McNemar p"] = mcnemar(apart[1.0], apart[-1.0])
    return line


def clustered(
    rows: Sequence[Row], documents: Sequence[int], values: Sequence[float]
) -> list[float]:
    """Interval of the mean of `values`, one a row, the documents being the sample."""
    place = {document: number for number, document in enumerate(documents)}
    at = [place[row["target"]] for row in rows]
    sums = np.bincount(at, weights=values, minlength=len(documents))
    counts = np.bincount(at, minlength=len(documents))
    drawn = draws(len(documents))
    return middle(sums[drawn].sum(1) / counts[drawn].sum(1))


def mcnemar(one: int, other: int) -> float:
    """Exact two-sided p of the discordant counts."""
    from scipy.stats import binomtest

    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


def print_clean(figures: dict[str, Any]) -> None:
    """The judge on clean pairs."""
    print(f"{figures['judge']} on clean pairs of topics never seen")
    for form, one in figures["clean"].items():
        curve = ""
        if "AUC" in one:
            low, high = one["AUC interval"]
            curve = f"AUC {one['AUC']:.3f} [{low:.3f}, {high:.3f}], "
        print(
            f"  {form:7} {one['pairs']} pairs: {curve}yes to {one['yes of relevant']:.1%} of the "
            f"relevant, {one['yes of irrelevant']:.1%} of the others"
        )


def print_flips(title: str, table: Sequence[dict[str, Any]]) -> None:
    """One table: flips, flips by control, net and mean rise of P(yes) in each form; difference."""
    print(f"\n{title}")
    heads = f"{'flips':>7}{'control':>9}{'net':>8}{'rise':>8}"
    print(f"{'':23} | {'fenced':32} | {'plain':32} |")
    print(f"{'':18}{'n':>5} | {heads} | {heads} | flips, plain - fenced, 95 %")
    for line in table:
        parts = []
        for form in FORMS:
            one = line[form]
            rise = f"{one['mean rise']:+8.3f}" if "mean rise" in one else f"{'-':>8}"
            parts.append(f"{one['flips']:7.1%}{one['control flips']:9.1%}{one['net']:+8.1%}{rise}")
        low, high = line["plain - fenced interval"]
        print(
            f"{line['name']:18}{line['attacks']:5} | {' | '.join(parts)} | "
            f"{line['plain - fenced']:+7.1%} [{low:+.1%}, {high:+.1%}]"
        )


if __name__ == "__main__":
    try:
        main()
    except PrismError as error:
        raise SystemExit(str(error)) from None
