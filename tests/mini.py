"""Two small BEIR folders cut from the bundled corpus, made once per process: English and Chinese.

Files: corpus.jsonl, queries.jsonl, qrels/{train,test}.tsv, answers.jsonl (answers per question),
and impossible.jsonl (questions that their passage only seems to answer).
"""

import atexit
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from prism_cli.bundled import CORPUS as CORPUS
from tests.factories import Row, read_jsonl, write_jsonl

_PASSAGES = 8


def _cut(target: Path, topics: dict[str, list[str]], questions: int) -> Path:
    """Write the folder `target` with the topics of each split of the corpus; return its path.

    A topic contributes its first eight passages with at least `questions` answered questions, each
    with the first of these.
    """
    rows: dict[str, list[Row]] = {"corpus": [], "queries": [], "answers": [], "impossible": []}
    (target / "qrels").mkdir(parents=True)
    for split, names in topics.items():
        judged = ["query-id\tcorpus-id\tscore"]
        queries = {row["_id"]: row["text"] for row in read_jsonl(CORPUS / split / "queries.jsonl")}
        marks = sorted(
            read_jsonl(CORPUS / split / "gold.jsonl"), key=lambda row: str(row["query_id"])
        )
        counts: Counter[str] = Counter()
        for passage in read_jsonl(CORPUS / split / "corpus.jsonl"):
            topic = passage["_id"].rpartition("-")[0]
            own_marks = [row for row in marks if row["doc_id"] == passage["_id"]]
            answered = [row for row in own_marks if row["answerable"]][:questions]
            if topic not in names or counts[topic] == _PASSAGES or len(answered) < questions:
                continue
            counts[topic] += 1
            rows["corpus"].append(passage)
            for row in answered:
                query_id = row["query_id"]
                rows["queries"].append({"_id": query_id, "text": queries[query_id]})
                rows["answers"].append({"_id": query_id, "answers": row["answers"]})
                judged.append(f"{query_id}\t{passage['_id']}\t1")
            rows["impossible"] += [
                {
                    "_id": row["query_id"],
                    "text": queries[row["query_id"]],
                    "paragraph": passage["_id"],
                }
                for row in own_marks
                if not row["answerable"]
            ]
        (target / "qrels" / f"{split}.tsv").write_text("\n".join(judged) + "\n")
    for name, content in rows.items():
        write_jsonl(target / f"{name}.jsonl", content)
    return target


_folder = Path(tempfile.mkdtemp(prefix="prism-tests-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

MINI = _cut(
    _folder / "mini",
    {
        "train": ["coffee", "http-caching", "sleep"],
        "test": ["batteries", "glaciers", "silk-road", "time-zones"],
    },
    questions=2,
)
CHINESE = _cut(_folder / "mini-zh", {"test": ["zh-shouji", "zh-yundonghui"]}, questions=1)
