"""What `prism quickstart` shows at its end: a table, one reranked query, and what it took."""

import sys
from pathlib import Path
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.table import Table

from prism_cli.wording import counted

MEASURE = "nDCG@10"
CORPUS = "source"
"""The judge that is the corpus's own labels."""
_NAMES = {
    "bm25": "BM25",
    "hf:smollm2": "SmolLM2-135M, untrained",
    "hf:prism-tiny": "prism-tiny, built in",
    "runs/tiny": "the same, trained further",
}


class Spent(Protocol):
    """What the steps took."""

    @property
    def seconds(self) -> list[float]:
        """Wall-clock time of each step."""

    @property
    def peak_bytes(self) -> int:
        """The largest resident memory of any one process."""


def print_results(folder: Path, spent: Spent) -> None:
    """Print to standard output what the finished pipeline in `folder` came to."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    width = min(88, console.width)
    metrics = orjson.loads((folder / "eval" / "metrics.json").read_bytes())
    (dataset,) = metrics["ranking"]
    console.print()
    console.print(_table(metrics, dataset))
    console.print(caption(metrics), width=width)
    console.print()
    rows = [orjson.loads(line) for line in (folder / "reranked.jsonl").read_bytes().splitlines()]
    requests = {
        row["query_id"]: row
        for row in map(orjson.loads, (folder / "requests.jsonl").read_bytes().splitlines())
    }
    console.print(example(rows, requests), width=width)
    console.print()
    console.print(keywords(folder / "keywords.jsonl"), width=width)
    console.print(panel(folder / "panel.jsonl"), width=width)
    console.print(teaching(folder / "teaching" / "metrics.json"), width=width)
    console.print(evidence(folder / "quality" / "metrics.json"), width=width)
    names = ("eval", "quality", "teaching", "labels")
    reports = " ".join(str(folder / name / "report.html") for name in names)
    console.print(f"\nTo open in a browser: {reports}", width=width, soft_wrap=True)
    console.print(
        f"\n{sum(spent.seconds) / 60:.1f} minutes, {spent.peak_bytes / 2**30:.1f} GiB of memory at "
        f"the most. The commands: {folder / 'pipeline.sh'}. The model: {folder / 'runs/tiny'}"
    )


def keywords(rows: Path) -> str:
    """How many queries became keywords, and the first that did."""
    (rewritten,) = (line for line in _figures(rows)["queries"] if line["outcome"] == "rewritten")
    found = map(orjson.loads, rows.read_bytes().splitlines())
    row = next((row for row in found if row["query_style"] == "keyword"), None)
    shown = f", such as “{row['query']}” for “{row['original_query']}”" if row else ""
    return (
        f"Keywords: {rewritten['queries']} queries ({rewritten['share']:.0%}){shown}. Training "
        "kept the questions as they were."
    )


def panel(rows: Path) -> str:
    """How far the judges agree with the corpus's labels and with one another, in words."""
    figures, told = _figures(rows), []
    for pair in figures["kappa on audit rows"]:
        judge = {pair["judge"], pair["with"]} - {CORPUS}
        if len(judge) == 1:
            told.append(f"{judge.pop()} {pair['in words']} (kappa {_measured(pair, 'kappa')})")
    alpha = figures["Krippendorff's alpha on audit rows"]
    return (
        f"Panel: agreement with the corpus's labels on {figures['audit rows']} rows: "
        f"{'; '.join(told)}. Labels of such a panel: {alpha['labels of such a panel']} "
        f"(Krippendorff's alpha {_measured(alpha, 'alpha')}; 0.80 is asked for). The model was "
        "trained on the corpus's own labels and MiniLM's scores; where there are no labels, "
        "`prism relabel data.jsonl` asks the paper's five judges."
    )


def teaching(metrics: Path) -> str:
    """What the texts that the model was trained on have of the marks, beside extractive ones."""
    found = orjson.loads(metrics.read_bytes())
    quality, rows = found["quality"], found["statistics"]["counts"]["rationale_recall"]
    written, extractive = (
        f"{one['rationale_recall']:.0%} of the marked sentences and {one['answer_retention']:.0%} "
        f"of the answers word for word, in {one['compression_median']:.0%} of the document"
        for one in (quality, quality["baselines"]["extractive"])
    )
    return (
        f"Texts to train on, {counted(rows, 'pair')}: those written for the corpus cover "
        f"{written}; the document's own closest sentences cover {extractive}. The model above was "
        "trained on such sentences, which it can copy; the recipes for 0.8b and more are for "
        "written ones."
    )


def evidence(metrics: Path) -> str:
    """What the evidence kept of the marked answers, as far as a handful of rows can tell."""
    found = orjson.loads(metrics.read_bytes())
    rows = found["statistics"]["counts"].get("answer_retention", 0)
    if not rows:
        return "Evidence: no passage that holds the answer got a yes."
    kept = round(found["quality"]["answer_retention"] * rows)
    low, high = found["statistics"]["intervals"]["answer_retention"]
    return (
        f"Evidence: of {counted(rows, 'passage')} with the answer and a yes, the evidence of "
        f"{kept} has it still ({low:.2f} – {high:.2f} of all such; so few rows say little)."
    )


def _measured(figures: dict[str, Any], name: str) -> str:
    """A figure with its interval."""
    if figures[name] is None:
        return "unknown"
    value, low, high = (round(figures[key], 2) + 0.0 for key in (name, "95% from", "to"))
    return f"{value:.2f}, {low:.2f} – {high:.2f}"


def _figures(output: Path) -> dict[str, Any]:
    """What the stage that wrote `output` told of it."""
    manifest = output.with_name(f"{output.name}.manifest.json")
    found: dict[str, Any] = orjson.loads(manifest.read_bytes())["figures"]
    return found


def _table(metrics: dict[str, Any], dataset: str) -> Table:
    queries = metrics["datasets"][dataset]["queries"]
    table = Table(
        title=f"{queries} questions on topics never seen in training", title_justify="left"
    )
    for name in ("system", MEASURE, "95 % interval", "vs untrained", "p"):
        table.add_column(name, justify="left" if name == "system" else "right")
    intervals = metrics["statistics"]["intervals"][dataset]
    for system, values in metrics["ranking"][dataset].items():
        low, high = intervals[system][MEASURE]
        cells = [_NAMES.get(system, system), f"{values[MEASURE]:.3f}", f"{low:.3f} – {high:.3f}"]
        if system in ("runs/tiny", "hf:prism-tiny"):
            test = comparison(metrics, "hf:smollm2", system)
            cells += [f"{test['difference']:+.3f}", f"{test['p']:.2g}"]
        table.add_row(*cells)
    return table


def comparison(metrics: dict[str, Any], baseline: str, system: str) -> dict[str, Any]:
    """The paired test of `system` against `baseline`.

    Raises:
        StopIteration: the evaluation has no such test.
    """
    found: dict[str, Any] = next(
        one
        for one in metrics["statistics"]["comparisons"]
        if (one["baseline"], one["system"]) == (baseline, system)
    )
    return found


def caption(metrics: dict[str, Any]) -> str:
    """What the table shows, in a sentence or two, whichever way it came out."""
    test = comparison(metrics, "hf:smollm2", "runs/tiny")
    learned = test["difference"] > 0 and test["p"] < 0.01
    first = (
        "Training taught the model to rank."
        if learned
        else "Training did not make a difference that this many queries can show."
    )
    trained, further = (
        comparison(metrics, baseline, "runs/tiny") for baseline in ("bm25", "hf:prism-tiny")
    )
    return (
        f"{first} Beside BM25, whose candidates it reorders, it {_standing(trained)}; beside "
        f"prism-tiny, from which this training went on for a few minutes, it {_standing(further)}. "
        "The recipes for 0.8b and more are for results. p: paired permutation test, two-sided."
    )


def _standing(test: dict[str, Any]) -> str:
    if test["p"] >= 0.05:
        return "is neither better nor worse as far as these queries can tell"
    return "ranks better" if test["difference"] > 0 else "ranks worse"


def example(rows: list[dict[str, Any]], requests: dict[str, dict[str, Any]]) -> str:
    """The first query, in file order, with a yes among its documents, and its best yes in full."""
    for passed, row in enumerate(rows):
        for result in row["results"]:
            if result["verdict"] == "yes":
                document = requests[row["query_id"]]["documents"][result["index"]]
                before = f" ({passed} before it got no yes)" if passed else ""
                return "\n".join(
                    [
                        f"query         {row['query']}{before}",
                        f"document      {document['title']}: {document['text']}",
                        f"score         {result['relevance_score']:.3f}, verdict yes",
                        f"contribution  {result['contribution'] or '(none could be read)'}",
                        f"evidence      {result['evidence'] or '(none could be read)'}",
                    ]
                )
    return f"None of the {len(rows)} reranked queries got a yes; see reranked.jsonl"
