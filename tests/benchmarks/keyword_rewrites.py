"""Keywords by rules against their questions and against written keyword queries.

python tests/benchmarks/keyword_rewrites.py [BEIR_DIR:SPLIT]… [--encoder st:minilm] [--examples 5]

Measures on each set (both splits of the bundled corpus by default) the share of questions that each
rule rewrites, and nDCG@10 and recall@10 of the first stage with the rewritten queries and with
their questions. If queries.jsonl has queries of the kind "keyword", it also measures how far the
rewritten queries are from those: number of words, share of function words, share of queries with a
capital at the beginning, and the AUC of a classifier on character n-grams (0.5: not
distinguishable).
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages.bm25 import Bm25FirstStage
from prism_cli.bundled import CORPUS
from prism_cli.domain.chat import UnusableReplyError
from prism_cli.domain.keyword_extraction import extracted_keywords
from prism_cli.domain.keywords import RewriteTask, is_too_long
from prism_cli.domain.metrics import query_values
from prism_cli.domain.query_words import LANGUAGES
from tests.factories import read_jsonl

MEASURES = ("nDCG@10", "R@10")
FUNCTION_WORDS = frozenset().union(*(words.dropped for words in LANGUAGES.values()))
Rule = Callable[[str], str]


def without_stop_words(query: str) -> str:
    """Return the query without punctuation at word ends and without function words."""
    words = (word.strip(",;:?!¿¡…") for word in query.split())
    kept = [word for word in words if word and word.casefold() not in FUNCTION_WORDS]
    return " ".join(kept).removesuffix(".")


RULES: dict[str, Rule] = {"extractive": extracted_keywords, "stop words": without_stop_words}


def rewritten(rule: Rule, queries: dict[str, str]) -> dict[str, str]:
    """Return the keywords of the queries that the rule rewrites, as `prism rewrite-queries`."""
    task, keywords = RewriteTask(), {}
    for query_id, query in queries.items():
        if is_too_long(query):
            continue
        try:
            reply = task.read(query, rule(query))
        except UnusableReplyError:
            continue
        if "keywords" in reply:
            keywords[query_id] = reply["keywords"]
    return keywords


def distinguishable(texts: Sequence[str], others: Sequence[str]) -> float:
    """Return the cross-validated AUC of a classifier on character n-grams, case included."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    classes = [0] * len(texts) + [1] * len(others)
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), lowercase=False)
    model = make_pipeline(vectorizer, LogisticRegression(C=10, class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_predict(model, [*texts, *others], classes, cv=folds, method="predict_proba")
    return float(roc_auc_score(classes, scores[:, 1]))


def style(texts: Sequence[str]) -> str:
    """Return mean words, share of function words, and share of texts that begin with a capital."""
    words = [word.casefold() for text in texts for word in text.split()]
    function_words = mean(word.strip("?,.") in FUNCTION_WORDS for word in words)
    capitals = mean(text[0].isupper() for text in texts)
    length = len(words) / len(texts)
    return (
        f"{length:5.1f} words, {function_words:4.0%} function words, {capitals:4.0%} capital first"
    )


def measure(name: str, data: BeirSet, split: str, examples: int) -> None:
    """Print the figures of a set."""
    rows = {row["_id"]: row for row in read_jsonl(data.queries_file)}
    qrels, judged = data.qrels(split), dict(data.judged_queries(split))
    written = [text for key, text in judged.items() if rows[key].get("kind") == "keyword"]
    questions = {key: text for key, text in judged.items() if rows[key].get("kind") != "keyword"}
    print(f"{name}: {len(questions)} questions, {len(written)} written keyword queries")
    first_stage = Bm25FirstStage(data.texts)
    if written:
        print(f"  written keywords   {style(written)}")
        print(
            f"  questions          {style(list(questions.values()))}, AUC to written "
            f"{distinguishable(list(questions.values()), written):.2f}"
        )
    for label, rule in RULES.items():
        keywords = rewritten(rule, questions)
        if not keywords:
            print(f"  {label:18} rewrites none")
            continue
        figures = []
        for texts in (questions, keywords):
            hits = first_stage.search([(key, texts[key]) for key in keywords], 10)
            run = dict(zip(keywords, hits, strict=True))
            figures.append(query_values(qrels, run, list(keywords), list(MEASURES)))
        before, after = figures
        changes = ", ".join(
            f"{one} {mean(before[one]):.3f} -> {mean(after[one]):.3f}" for one in MEASURES
        )
        print(f"  {label:18} rewrites {len(keywords) / len(questions):4.0%}; {changes}")
        texts = list(keywords.values())
        auc = f", AUC to written {distinguishable(texts, written):.2f}" if written else ""
        print(f"  {'':18} {style(texts)}{auc}")
        for key in list(keywords)[:examples]:
            print(f"      {questions[key]} -> {keywords[key]}")


def main() -> None:
    """Measure the sets of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "sets", nargs="*", default=[f"{CORPUS / one}:{one}" for one in ("train", "test")]
    )
    parser.add_argument("--examples", type=int, default=0)
    options = parser.parse_args()
    for given in options.sets:
        folder, _, split = given.rpartition(":")
        measure(given, BeirSet(Path(folder)), split, options.examples)


if __name__ == "__main__":
    main()
