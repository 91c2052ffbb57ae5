"""Output of `prism quickstart` at its end: a table, one reranked query, and the main figures."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import orjson
from rich.console import Console
from rich.table import Table

from prism_cli.reporting.figures import Figure, figures_of, grouped
from prism_cli.wording import counted

MEASURE = "nDCG@10"
CORPUS = "source"
"""The judge that gives the corpus's own labels."""
_NAMES = {
    "bm25": "BM25",
    "hf:smollm2": "SmolLM2-135M, untrained",
    "hf:prism-tiny": "prism-tiny, built in",
    "hf:prism-tiny fused": "the same, fused with BM25",
    "runs/tiny": "prism-tiny, trained further",
}
_COMPARED = ("hf:prism-tiny", "hf:prism-tiny fused", "runs/tiny")
"""Systems that the table compares with the untrained model."""


class Spent(Protocol):
    """Time and memory that the steps took."""

    @property
    def seconds(self) -> list[float]:
        """Wall-clock time of each step."""

    @property
    def peak_bytes(self) -> int:
        """The largest resident memory of any one process."""


def print_results(folder: Path, spent: Spent) -> None:
    """Print the results of the finished pipeline in `folder` to standard output."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    width = min(88, console.width)
    names = ("eval", "quality", "teaching", "labels")
    metrics = {name: orjson.loads((folder / name / "metrics.json").read_bytes()) for name in names}
    console.print()
    console.print(_table(metrics["eval"]))
    console.print(caption(metrics["eval"]), width=width)
    console.print()
    rows = [orjson.loads(line) for line in (folder / "reranked.jsonl").read_bytes().splitlines()]
    requests = {
        row["query_id"]: row
        for row in map(orjson.loads, (folder / "requests.jsonl").read_bytes().splitlines())
    }
    console.print(example(rows, requests), width=width)
    console.print()
    console.print(keywords(folder / "keywords.jsonl"), width=width)
    console.print(panel(metrics["labels"]), width=width)
    console.print(teaching(metrics["teaching"]), width=width)
    console.print(evidence(metrics["quality"]), width=width)
    reports = " ".join(str(folder / name / "report.html") for name in names)
    console.print(f"\nTo open in a browser: {reports}", width=width, soft_wrap=True)
    console.print(
        f"\n{sum(spent.seconds) / 60:.1f} minutes, at most {spent.peak_bytes / 2**30:.1f} GiB of "
        f"memory. The commands: {folder / 'pipeline.sh'}. The model: {folder / 'runs/tiny'}"
    )


def keywords(rows: Path) -> str:
    """Say how many queries became keywords, with the first of them."""
    manifest = orjson.loads(rows.with_name(f"{rows.name}.manifest.json").read_bytes())
    (rewritten,) = (
        line for line in manifest["figures"]["queries"] if line["outcome"] == "rewritten"
    )
    decoded = map(orjson.loads, rows.read_bytes().splitlines())
    row = next((row for row in decoded if row["query_style"] == "keyword"), None)
    shown = f", such as “{row['query']}” for “{row['original_query']}”" if row else ""
    return (
        f"Keywords: {rewritten['queries']} queries ({rewritten['share']:.0%}){shown}. Training "
        "used the unchanged questions."
    )


def panel(metrics: Mapping[str, Any]) -> str:
    """Say how far the judges agree with the corpus's labels and with one another."""
    figures = grouped(metrics)
    judges = []
    for pair, kappa in figures["kappa"].items():
        others = set(pair.split(" | ")) - {CORPUS}
        if len(others) == 1:
            judges.append(f"{others.pop()} {kappa.words} (kappa {_measured(kappa)})")
    alpha = figures[""]["alpha"]
    return (
        f"Panel: agreement with the corpus's labels on {metrics['labels']['audit_rows']} rows: "
        f"{'; '.join(judges)}. Labels of such a panel: {alpha.words} (Krippendorff's alpha "
        f"{_measured(alpha)}; reliable from 0.80). The model was trained on the corpus's own "
        "labels and MiniLM's scores; without such labels, `prism relabel data.jsonl` asks the "
        "paper's five judges."
    )


def teaching(metrics: Mapping[str, Any]) -> str:
    """Say how much of the marked text the training texts hold, beside extractive ones."""
    figures = grouped(metrics)
    written, extractive = (
        f"{group['rationale_recall'].value:.0%} of the marked sentences and "
        f"{group['answer_retention'].value:.0%} of the answers word for word, in "
        f"{group['compression_median'].value:.0%} of the document"
        for group in (figures[""], figures["baselines · extractive"])
    )
    pairs = counted(figures[""]["rationale_recall"].n or 0, "pair")
    return (
        f"Texts to train on, {pairs}: those written for the corpus cover {written}; the document's "
        f"own closest sentences cover {extractive}. The model above was trained on such sentences, "
        "which it can copy; the recipes for 0.8b and larger are for written ones."
    )


def evidence(metrics: Mapping[str, Any]) -> str:
    """Say how many marked answers the evidence of a few rows holds."""
    retention = grouped(metrics)[""]["answer_retention"]
    if retention.value is None or not retention.interval or not retention.n:
        return "Evidence: no passage that holds the answer got a yes."
    kept = round(retention.value * retention.n)
    low, high = retention.interval
    return (
        f"Evidence: of {counted(retention.n, 'passage')} with the answer and a yes, {kept} kept "
        f"the answer in the evidence (95 %: {low:.2f} – {high:.2f}; these are few rows)."
    )


def _measured(figure: Figure) -> str:
    """Format a value with its interval."""
    if figure.value is None:
        return "unknown"
    value, *interval = (
        round(number, 2) + 0.0 for number in (figure.value, *(figure.interval or ()))
    )
    return f"{value:.2f}, {' – '.join(f'{end:.2f}' for end in interval) or 'no interval'}"


def _table(metrics: Mapping[str, Any]) -> Table:
    figures = [figure for figure in figures_of(metrics) if figure.name == MEASURE]
    table = Table(
        title=f"{figures[0].n} questions on topics never seen in training", title_justify="left"
    )
    for name in ("system", MEASURE, "95 % interval", "vs untrained", "p"):
        table.add_column(name, justify="left" if name == "system" else "right")
    for figure in figures:
        interval = " – ".join(f"{end:.3f}" for end in figure.interval or ())
        name = _NAMES.get(figure.system, figure.system)
        cells = [name, f"{figure.value:.3f}", interval or "–"]
        if figure.system in _COMPARED:
            test = comparison(metrics, "hf:smollm2", figure.system)
            cells += [f"{test['difference']:+.3f}", f"{test['p']:.2g}"]
        table.add_row(*cells)
    return table


def comparison(metrics: Mapping[str, Any], baseline: str, system: str) -> dict[str, Any]:
    """Return the paired test of `system` against `baseline`.

    Raises:
        StopIteration: the evaluation has no such test.
    """
    test: dict[str, Any] = next(
        test
        for test in metrics["statistics"]["comparisons"]
        if (test["baseline"], test["system"]) == (baseline, system)
    )
    return test


def caption(metrics: Mapping[str, Any]) -> str:
    """Describe the result of the table, whether training helped or not."""
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
        f"{first} Compared with BM25, whose candidates it reorders, it {_verdict(trained)}; "
        f"compared with prism-tiny, which this training continued for a few minutes, it "
        f"{_verdict(further)}. The recipes for 0.8b and larger are for results. p: paired "
        "permutation test, two-sided."
    )


def _verdict(test: Mapping[str, Any]) -> str:
    if test["p"] >= 0.05:
        return "shows no significant difference on these queries"
    return "ranks better" if test["difference"] > 0 else "ranks worse"


def example(rows: list[dict[str, Any]], requests: dict[str, dict[str, Any]]) -> str:
    """Format the first query, in file order, with a yes among its documents, and its best yes."""
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
