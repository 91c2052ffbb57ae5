"""`prism relabel --stop posterior` with real judges, which err together on rows that are hard.

python tests/benchmarks/real_panels.py -o WORK NAME=BEIR_DIR:SPLIT[,BEIR_DIR:SPLIT…]…
    [--judge bm25 --judge lsa --judge st:minilm --judge hf:prism-tiny …] [--teacher overlap]

Each judge is a local model that scores pairs of a query with its relevant document, hard negatives
by BM25 and a random one. A score above a threshold is a yes; the threshold is the one of fewest
errors on rows of other queries. A panel of stronger judges is made of the same scores: each less
the best of the query's other documents. Scores are made once, and kept in WORK.

Each judge answers as a model of a server on 127.0.0.1, at a price, the dearest at ten times that of
the first, and `prism relabel` asks them with the whole panel, with --stop settled and posterior,
and with a teacher's score. One run has one draw of audit rows, so the rule is replayed on the same
votes with many draws: the share of verdicts that change, of the rows that were not audited.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from prism_cli.domain.agreement import Pattern  # noqa: E402
from prism_cli.domain.learned_rule import (  # noqa: E402
    FOLDS,
    AuditRow,
    CheckedRule,
    full_verdict,
)
from prism_cli.domain.rubric import JudgeTask  # noqa: E402
from prism_cli.domain.significance import exact_interval  # noqa: E402
from prism_cli.rows.row import document_text  # noqa: E402
from prism_cli.shards.manifest import manifest_path  # noqa: E402
from prism_cli.stages.panel_stopping import learned_rows  # noqa: E402
from tests.factories import read_jsonl, write_jsonl  # noqa: E402
from tests.servers.fault_server import FaultServer  # noqa: E402
from tests.servers.replies import Answers  # noqa: E402

Rows = list[dict[str, Any]]
WORDS = ("bm25", "chars", "lsa", "overlap")
"""Judges without a model."""
TUNED = 6
"""Every sixth query is for the thresholds."""
BOOK = """
[providers.lab]
api = "openai"
base_url = "{url}/v1"
concurrency = 32
"""


def prism(*words: object) -> str:
    """Run a command; return its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "prism_cli", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def collected(parts: Sequence[str], rows: int, folder: Path) -> Rows:
    """Return pair rows in equal parts from BEIR_DIR:SPLIT, with BM25's score, 1 for the best of
    the corpus."""
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage

    path = folder / "pairs.jsonl"
    if path.exists():
        return read_jsonl(path)
    found: Rows = []
    for number, part in enumerate(parts):
        beir, _, split = part.partition(":")
        own = folder / f"pairs{number}.jsonl"
        prism("collect", beir, "-o", own, "--split", split or "test", "--negatives", 2,
              "--random-negatives", 1, "--limit", rows // 4 // len(parts), "-q")  # fmt: skip
        pairs = read_jsonl(own)
        queries = list({row["query_id"]: row["query"] for row in pairs}.items())
        hits = Bm25FirstStage(BeirSet(Path(beir)).texts).search(queries, 1000)
        scores = {query: dict(own) for (query, _), own in zip(queries, hits, strict=True)}
        for row in pairs:
            own_scores = scores[row["query_id"]]
            share = own_scores.get(row["doc_id"], 0.0) / max(own_scores.values())
            found.append(row | {"scores": {"bm25": share}})
    write_jsonl(path, found)
    return found


def score(rows: Rows, spec: str, folder: Path) -> None:
    """Add the scores of a model to the rows: of a teacher st:…, or of a reranker."""
    out = folder / f"{spec.replace('/', '_').replace(':', '-')}.jsonl"
    if out.exists():
        pass
    elif spec.startswith("st:"):
        prism("distill", folder / "pairs.jsonl", "-o", out, "--teacher", spec, "-q")
    else:
        prism("rerank", folder / "pairs.jsonl", "-o", out, "--model", spec, "--no-evidence", "-q")
    for row, made in zip(rows, read_jsonl(out), strict=True):
        scored = made["teacher_score"] if spec.startswith("st:") else made["score"]
        row["scores"][spec] = scored


def score_by_words(rows: Rows) -> None:
    """Add cosines of query and document: `chars`, of TF-IDF over character n-grams, and `lsa`, of
    latent semantic analysis; and `overlap`, the share of the query's words that the document has,
    weighted by their rarity."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    texts = [document_text(row) for row in rows]
    queries = [row["query"] for row in rows]
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    words = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    by_chars, by_words = chars.fit_transform(texts), words.fit_transform(texts)
    topics = TruncatedSVD(128, random_state=0).fit(by_words)
    asked = words.transform(queries)
    weights = words.idf_[None]
    wanted = (asked > 0).multiply(weights)
    found = {
        "chars": chars.transform(queries).multiply(by_chars).sum(1),
        "lsa": (normalize(topics.transform(asked)) * normalize(topics.transform(by_words))).sum(1),
        "overlap": wanted.multiply(by_words > 0).sum(1) / (wanted.sum(1) + 1e-9),
    }
    for name, scores in found.items():
        for row, value in zip(rows, np.asarray(scores).ravel(), strict=True):
            row["scores"][name] = float(value)


def beside_others(rows: Rows) -> Rows:
    """Return the rows with each score less the best of the query's other documents."""
    by_query: dict[str, Rows] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    return [
        row
        | {
            "scores": {
                spec: score - max(o["scores"][spec] for o in by_query[row["query_id"]] if o != row)
                for spec, score in row["scores"].items()
            }
        }
        for row in rows
        if len(by_query[row["query_id"]]) > 1
    ]


def threshold(rows: Rows, spec: str) -> float:
    """Return the score above which a yes makes the fewest errors."""
    values = sorted(row["scores"][spec] for row in rows)

    def errors(at: float) -> int:
        return sum((row["scores"][spec] > at) != truth(row) for row in rows)

    middles: list[float] = [(low + high) / 2 for low, high in pairwise(values)]
    return min(middles, key=errors)


def truth(row: Mapping[str, Any]) -> bool:
    """Return whether the source calls the document relevant."""
    return float(row["source_label"]) > 0


@dataclass
class Panel:
    """Judges with their votes on rows.

    Attributes:
        votes: by judge and row.
    """

    rows: Rows
    votes: dict[str, list[bool]]

    @classmethod
    def of(cls, rows: Rows, judges: Sequence[str]) -> "Panel":
        """Return the panel on those rows that thresholds are not tuned on."""
        queries = list(dict.fromkeys(row["query_id"] for row in rows))
        tuned = set(queries[::TUNED])
        tuning = [row for row in rows if row["query_id"] in tuned]
        tested = [row for row in rows if row["query_id"] not in tuned]
        limits = {spec: threshold(tuning, spec) for spec in judges}
        votes = {spec: [row["scores"][spec] > limits[spec] for row in tested] for spec in judges}
        return cls(tested, votes)

    def patterns(self) -> list[Pattern]:
        """Return the votes by row."""
        columns = zip(*self.votes.values(), strict=True)
        return [tuple("yes" if vote else "no" for vote in row) for row in columns]

    def prices(self) -> list[float]:
        """Return prices from .1 to 1."""
        last = len(self.votes) - 1
        return [0.1 ** (1 - number / last) for number in range(len(self.votes))]

    def show(self) -> None:
        """Print how strong the judges are, and how often they err together."""
        right = {
            spec: [vote == truth(row) for vote, row in zip(votes, self.rows, strict=True)]
            for spec, votes in self.votes.items()
        }
        print("right:", ", ".join(f"{spec} {fmean(good):.3f}" for spec, good in right.items()))
        wrong = [len(row) - sum(row) for row in zip(*right.values(), strict=True)]
        alone = 1.0
        for good in right.values():
            alone *= fmean(good)
        counts = ", ".join(f"{wrong.count(n) / len(wrong):.3f}" for n in range(len(right) + 1))
        print(f"rows by number of wrong judges: {counts} (none, if independent: {alone:.3f})")

    def served(self) -> Answers:
        """Return what the server answers: the model judgeN says what judge N says."""
        task, known = JudgeTask(), {}
        for number, row in enumerate(self.rows):
            prompt = task.prompt((row["query"], document_text(row)), 0)
            known[f"{prompt.system}\n{prompt.user}"] = number
        by_model = {f"judge{n}": votes for n, votes in enumerate(self.votes.values())}
        return Answers(probability=lambda model, text: float(by_model[model][known[text]]))


def run_panel(panel: Panel, folder: Path, teacher: str | None, risk: float) -> None:
    """Print a line for each way to ask the panel."""
    pairs = write_jsonl(folder / "tested.jsonl", panel.rows)
    posterior = ["--stop", "posterior", "--risk", risk]
    ways: dict[str, list[object]] = {"whole panel": ["--audit", 1], "settled": [],
                                     "posterior": posterior}  # fmt: skip
    if teacher:
        ways[f"teacher {teacher}"] = [*posterior, "--prior", "teacher"]
    judges = [word for n in range(len(panel.votes)) for word in ("--judge", f"lab/judge{n}")]
    whole: list[str] = []
    print(
        f"{'':24} {'votes':>6} {'unaudited':>9} {'USD':>7} {'changed':>7} {'95 %':>14} {'right':>6}"
    )
    with FaultServer(answers=panel.served(), keep_texts=False) as server:
        book = folder / "providers.toml"
        prices = "".join(f"models.judge{n} = {{ usd_per_million_input = {price:.3f} }}\n"
                         for n, price in enumerate(panel.prices()))  # fmt: skip
        book.write_text(BOOK.format(url=server.base_url) + prices)
        for name, options in ways.items():
            out = folder / f"{name.partition(' ')[0]}.jsonl"
            for path in (out, manifest_path(out)):
                path.unlink(missing_ok=True)
            prism("relabel", pairs, "-o", out, *judges, "--provider-file", book, "--fresh",
                  "-q", *options)  # fmt: skip
            usage = json.loads(manifest_path(out).read_bytes())["usage"]
            made = read_jsonl(out)
            verdicts = [row["verdict"] for row in made]
            whole = whole or verdicts
            changed = sum(a != b for a, b in zip(verdicts, whole, strict=True))
            low, high = exact_interval(changed, len(made))
            free = [row["votes_cast"] for row in made if not row.get("audit")] or [0]
            right = fmean((row["verdict"] == "yes") == truth(row) for row in made)
            print(f"{name:24} {fmean(row['votes_cast'] for row in made):6.2f} {fmean(free):9.2f} "
                  f"{usage['usd']:7.4f} {changed:7} {low:6.2%}–{high:6.2%} {right:6.3f}",
                  flush=True)  # fmt: skip


def replay(panel: Panel, teacher: str | None, risk: float, draws: int) -> None:
    """Print what the rule does on these votes with other draws of audit rows."""
    patterns, prices = panel.patterns(), panel.prices()
    settled = CheckedRule((), len(prices), risk, prices).rule
    asked = fmean(len(settled.replay(pattern, None)[1]) for pattern in patterns)
    print(f"replayed settled: votes {asked:.2f}")
    count = learned_rows(len(patterns))
    for name in ("posterior", *(["teacher"] if teacher else [])):
        votes, shares = [], []
        for seed in range(draws):
            rows = [
                AuditRow(patterns[n], panel.rows[n]["teacher_score"] if name == "teacher" else None,
                         n % FOLDS)
                for n in random.Random(seed).sample(range(len(patterns)), len(patterns))
            ]  # fmt: skip
            rule = CheckedRule(rows[:count], len(prices), risk, prices).rule
            results = [rule.replay(row.pattern, row.score) for row in rows[count:]]
            votes.append(fmean(len(asked) for _, asked in results))
            shares.append(
                fmean(
                    verdict != full_verdict(row.pattern)
                    for (verdict, _), row in zip(results, rows[count:], strict=True)
                )
            )
        above = fmean(share > risk for share in shares)
        print(f"replayed {name}, {draws} draws of {count} audit rows: votes {fmean(votes):.2f}, "
              f"changed {fmean(shares):.2%} (95th percentile {quantiles(shares, n=20)[-1]:.2%}, "
              f"above the risk in {above:.0%})", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="+", metavar="NAME=BEIR_DIR:SPLIT,…")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--judge", action="append")
    parser.add_argument("--teacher")
    parser.add_argument("--rows", type=int, default=960)
    parser.add_argument("--risk", type=float, default=0.01)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--score-only", action="store_true")
    parser.add_argument("--kind", action="append", choices=("alone", "beside"))
    parser.add_argument("--replay-only", action="store_true")
    options = parser.parse_args()
    judges = options.judge or ["bm25", "chars", "lsa", "st:minilm", "hf:prism-tiny"]
    for item in options.sets:
        name, _, parts = item.partition("=")
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        rows = collected(parts.split(","), options.rows, folder)
        models = dict.fromkeys([*judges, *filter(None, [options.teacher])])
        for spec in models:
            if spec not in WORDS:
                score(rows, spec, folder)
        if options.score_only:
            continue
        score_by_words(rows)
        for row in rows:
            row["teacher_score"] = row["scores"][options.teacher] if options.teacher else None
        for kind, of_kind in {"alone": rows, "beside": beside_others(rows)}.items():
            if options.kind and kind not in options.kind:
                continue
            panel = Panel.of(of_kind, judges)
            print(f"\n{name}, {kind}: {len(panel.rows)} rows, "
                  f"{fmean(map(truth, panel.rows)):.2f} relevant")  # fmt: skip
            panel.show()
            if not options.replay_only:
                (folder / kind).mkdir(exist_ok=True)
                run_panel(panel, folder / kind, options.teacher, options.risk)
            replay(panel, options.teacher, options.risk, options.draws)


if __name__ == "__main__":
    main()
