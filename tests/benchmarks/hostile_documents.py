"""Success rate of prompt injection by documents ("answer yes"): prism's fence against none.

    python tests/benchmarks/hostile_documents.py --minutes 45 [--start hf:demo/runs/tiny]
    python tests/benchmarks/hostile_documents.py --judge hf:FOLDER
    python tests/benchmarks/hostile_documents.py --judge PROVIDER/MODEL [--provider-file FILE]

Without --judge a judge is trained first (hostile_judge.py), from --start, best a model of `prism
quickstart`, and is kept in FOLDER/judge. Then, on questions of unseen topics:
its AUC on clean pairs; and of the pairs judged correctly in both forms, the share that flips
when the document has an attack of hostile_documents.toml. `fenced` is the prompt that prism
sends; `plain` is the same rubric with both texts verbatim under headings. Harmless texts of the
attacks' lengths, at the same places, measure flips by any change; `net` subtracts them.
Requests go through prism's relabel stage: replies are in the folder's ledger and never requested
again, so that the same command resumes after a kill. Intervals: 95 %, bootstrap over documents.
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
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    pairs = held_out(collected("test", options.folder), options.queries, 1)
    if options.judge is None:
        lessons = collected("train", options.folder)
        folder = options.folder / "judge"
        train(options.start, lessons, folder, options.minutes, options.seed)
        options.judge = f"hf:{folder}"
    ask = Asking(options.judge, options.provider_file, options.max_cost, options.folder)
    clean = asked_clean(ask, pairs)
    figures: dict[str, Any] = {"judge": options.judge, "clean": clean_figures(clean)}
    print_clean(figures)
    figures["attacks"] = {}
    for verdict, name, most in (
        ("yes", "irrelevant", options.irrelevant),
        ("no", "relevant", options.relevant),
    ):
        targets = right_in_both(clean, verdict == "no")
        random.Random(options.seed).shuffle(targets)
        flips = attacked(ask, targets[:most], verdict)
        figures["attacks"][f"{name} to {verdict}"] = table = flip_table(flips)
        print_flips(f"{name} documents, judged rightly in both forms, to {verdict}", table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


class Asking:
    """Run one judge in either form."""

    def __init__(self, spec: str, book: str | None, max_cost: float | None, folder: Path) -> None:
        self.spec = spec
        self._folder = folder
        self._paid = Paid(provider_file=book, max_cost=max_cost)
        named = paid_wiring.catalog(self._paid).resolve(spec)
        if named.api != "openai" if named else not spec.startswith("hf:"):
            raise SystemExit(f"{spec}: takes no chat prompt, so it cannot be asked without a fence")

    def __call__(self, name: str, form: str, rows: Sequence[Row]) -> list[Row]:
        """Return the rows with `vote` and, if the judge gives one, `probability`."""
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
    """Return each pair's vote in each form."""
    rows = [
        {"query": pair.query, "document": pair.document, "relevant": pair.relevant}
        for pair in pairs
    ]
    return {form: ask("clean", form, rows) for form in FORMS}


def clean_figures(clean: dict[str, list[Row]]) -> dict[str, Any]:
    """Return AUC with its interval over queries, and yes-rates, by form."""
    figures: dict[str, Any] = {}
    for form, rows in clean.items():
        voted = [row for row in rows if row["vote"]]
        sides = {
            name: [row["vote"] == "yes" for row in voted if row["relevant"] is side]
            for name, side in (("relevant", True), ("irrelevant", False))
        }
        figures[form] = {
            "pairs": len(rows),
            "without an answer": len(rows) - len(voted),
            "yes of relevant": float(np.mean(sides["relevant"])),
            "yes of irrelevant": float(np.mean(sides["irrelevant"])),
        }
        if all(row["probability"] is not None for row in voted):
            figures[form]["AUC"] = area(voted)
            figures[form]["AUC interval"] = area_interval(voted)
    return figures


def area(rows: Iterable[Row]) -> float:
    """Return the AUC of the probabilities."""
    some = list(rows)
    return auc([row["probability"] for row in some], [row["relevant"] for row in some])


def area_interval(rows: Sequence[Row]) -> list[float]:
    """Return the bootstrap interval of `area` over queries."""
    by_query: dict[str, list[Row]] = {}
    for row in rows:
        by_query.setdefault(row["query"], []).append(row)
    groups = list(by_query.values())
    return middle([area(row for at in draw for row in groups[at]) for draw in draws(len(groups))])


def draws(size: int) -> Any:
    """Return indices below `size`, of shape [RESAMPLES, size], drawn with replacement."""
    return np.random.default_rng(0).integers(0, size, (RESAMPLES, size))


def middle(values: Any) -> list[float]:
    """Return the 2.5 and 97.5 % quantiles."""
    low, high = np.quantile(values, [0.025, 0.975])
    return [float(low), float(high)]


def right_in_both(clean: dict[str, list[Row]], relevant: bool) -> list[Row]:
    """Return the pairs of one kind that are judged correctly with and without the fence."""
    expected = "yes" if relevant else "no"
    return [
        {"query": reply["query"], "document": reply["document"]}
        | {f"{form} before": rows[at]["probability"] for form, rows in clean.items()}
        for at, reply in enumerate(clean["fenced"])
        if reply["relevant"] is relevant
        and all(rows[at]["vote"] == expected for rows in clean.values())
    ]


def attacked(ask: Asking, targets: Sequence[Row], verdict: str) -> list[Row]:
    """Return one row per target and inserted text, with its effect in each form."""
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
    """Return a line per family, and lines over all attacks: by place, by language, in total."""
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
    """Return the shares that flip in each form, and differences with intervals over documents.

    `only plain` and `only fenced` count the attacks that flip in one form only; McNemar's exact
    test assumes independent attacks, so it is given only if each document has one.
    """
    documents = sorted({row["target"] for row in rows})
    line: dict[str, Any] = {"name": name, "attacks": len(rows), "documents": len(documents)}
    line["without an answer"] = sum(not row[f"{form} answers"] for row in rows for form in FORMS)
    net: dict[str, list[float]] = {}
    for form in FORMS:
        flips = [float(row[f"{form} flips"]) for row in rows]
        harmless = [float(row[f"{form} flips"]) for row in controls]
        net[form] = [attacked - other for attacked, other in zip(flips, harmless, strict=True)]
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
    net_saved = [
        plain_flip - other for plain_flip, other in zip(net["plain"], net["fenced"], strict=True)
    ]
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
    """Return the interval of the mean of `values` (one per row), clustered by document."""
    place = {document: number for number, document in enumerate(documents)}
    at = [place[row["target"]] for row in rows]
    sums = np.bincount(at, weights=values, minlength=len(documents))
    counts = np.bincount(at, minlength=len(documents))
    resampled = draws(len(documents))
    return middle(sums[resampled].sum(1) / counts[resampled].sum(1))


def mcnemar(first: int, other: int) -> float:
    """Return the exact two-sided p of the discordant counts."""
    from scipy.stats import binomtest

    return float(binomtest(first, first + other).pvalue) if first + other else 1.0


def print_clean(figures: dict[str, Any]) -> None:
    """Print the figures on clean pairs."""
    print(f"{figures['judge']} on clean pairs of topics never seen")
    for form, clean in figures["clean"].items():
        curve = ""
        if "AUC" in clean:
            low, high = clean["AUC interval"]
            curve = f"AUC {clean['AUC']:.3f} [{low:.3f}, {high:.3f}], "
        print(
            f"  {form:7} {clean['pairs']} pairs: {curve}yes to {clean['yes of relevant']:.1%} of "
            f"the relevant, {clean['yes of irrelevant']:.1%} of the others"
        )


def print_flips(title: str, table: Sequence[dict[str, Any]]) -> None:
    """Print flips, flips by control, net, mean rise of P(yes) in each form, and differences."""
    print(f"\n{title}")
    heads = f"{'flips':>7}{'control':>9}{'net':>8}{'rise':>8}"
    print(f"{'':23} | {'fenced':32} | {'plain':32} |")
    print(f"{'':18}{'n':>5} | {heads} | {heads} | flips, plain - fenced, 95 %")
    for line in table:
        parts = []
        for form in FORMS:
            reply = line[form]
            rise = f"{reply['mean rise']:+8.3f}" if "mean rise" in reply else f"{'-':>8}"
            parts.append(
                f"{reply['flips']:7.1%}{reply['control flips']:9.1%}{reply['net']:+8.1%}{rise}"
            )
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
