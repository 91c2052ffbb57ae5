"""PrismReranker by mteb's protocol; and mteb's own evaluation against `prism eval`."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.mteb import PrismReranker
from tests.door import prism
from tests.mini import MINI

PROTOCOL = {  # mteb 2.26's CrossEncoderProtocol: name -> kind, and whether it has a default
    "__init__": {
        "model_name": ("POSITIONAL_OR_KEYWORD", False),
        "revision": ("POSITIONAL_OR_KEYWORD", False),
        "device": ("POSITIONAL_OR_KEYWORD", True),
        "kwargs": ("VAR_KEYWORD", False),
    },
    "predict": {
        "inputs1": ("POSITIONAL_OR_KEYWORD", False),
        "inputs2": ("POSITIONAL_OR_KEYWORD", False),
        "task_metadata": ("KEYWORD_ONLY", False),
        "hf_split": ("KEYWORD_ONLY", False),
        "hf_subset": ("KEYWORD_ONLY", False),
        "prompt_type": ("KEYWORD_ONLY", True),
        "kwargs": ("VAR_KEYWORD", False),
    },
}


@pytest.fixture(scope="module")
def smollm2(request: pytest.FixtureRequest) -> PrismReranker:
    return PrismReranker("hf:smollm2", None, "cpu", batch_tokens=512, warn=False)


def parameters(cls: type, method: str) -> dict[str, tuple[str, bool]]:
    signature = inspect.signature(getattr(cls, method)).parameters
    return {
        name: (parameter.kind.name, parameter.default is not inspect.Parameter.empty)
        for name, parameter in signature.items()
        if name != "self"
    }


@pytest.mark.parametrize("method", PROTOCOL)
def test_signatures_match_the_protocol(method: str) -> None:
    ours, theirs = parameters(PrismReranker, method), PROTOCOL[method]
    assert [kind for kind, _ in ours.values()] == [kind for kind, _ in theirs.values()]
    for name, (kind, default) in theirs.items():
        if kind != "VAR_KEYWORD":
            assert name in ours
            assert ours[name][1] or not default


def test_the_written_protocol_equals_mtebs() -> None:
    pytest.importorskip("mteb")
    from mteb.models.models_protocols import CrossEncoderProtocol

    for method, expected in PROTOCOL.items():
        assert parameters(CrossEncoderProtocol, method) == expected


def test_scores_follow_the_order_of_pairs(smollm2: PrismReranker) -> None:
    pairs = [
        ("what drives the mill", "steam drives the mill"),
        ("where is the river", "the river is in the town"),
        ("what drives the mill", "the river is in the town"),
        ("where is the river", "steam drives the mill"),
    ]
    settings: dict[str, Any] = {"task_metadata": None, "hf_split": "test", "hf_subset": "default"}

    def scores(chosen: list[tuple[str, str]]) -> list[float]:
        queries = [{"text": [query]} for query, _ in chosen]
        documents = [{"text": [document for _, document in chosen]}]
        return list(smollm2.predict(queries, documents, **settings, show_progress_bar=False))

    full = scores(pairs)
    assert scores(pairs[::-1]) == pytest.approx(full[::-1], abs=1e-4)
    assert [scores([pair])[0] for pair in pairs] == pytest.approx(full, abs=1e-4)
    assert len(set(full)) == 4
    long = scores([*pairs[:2], ("word " * 20_000, "text")])
    assert long[:2] == pytest.approx(full[:2], abs=1e-4)
    assert long[2] < min(long[:2]), "what cannot be asked stands last"
    assert scores([]) == []


def test_mtebs_own_task_gives_the_ndcg_of_prism_eval(smollm2: PrismReranker) -> None:
    mteb = pytest.importorskip("mteb")
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.models.models_protocols import CrossEncoderProtocol

    count, top_k = 8, 5
    words = ("--model", "hf:smollm2", "--limit", str(count), "--top-k", str(top_k))
    done = prism("eval", MINI, *words, "--device", "cpu", "-o", "out", "--json", "-q")
    assert done.returncode == 0, done.stderr
    data = BeirSet(MINI)
    queries = data.judged_queries("test", count)
    candidates: dict[str, list[str]] = {}
    for line in Path("out/runs/mini.bm25.trec").read_text().splitlines():
        query_id, _, doc_id, *_ = line.split()
        candidates.setdefault(query_id, []).append(doc_id)

    class MiniTask(AbsTaskRetrieval):  # type: ignore[misc]
        metadata = mteb.TaskMetadata(
            name="MiniTask",
            description="Questions and paragraphs.",
            dataset={"path": "local", "revision": "1"},
            type="Reranking",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            qrels = data.qrels("test")
            self.dataset = {
                "default": {
                    "test": {
                        "corpus": Dataset.from_list(
                            [
                                {"id": doc_id, "title": title, "text": text}
                                for doc_id, title, text in data.passages()
                            ]
                        ),
                        "queries": Dataset.from_list(
                            [{"id": query_id, "text": query} for query_id, query in queries]
                        ),
                        "relevant_docs": {query_id: qrels[query_id] for query_id, _ in queries},
                        "top_ranked": candidates,
                    }
                }
            }
            self.data_loaded = True

    assert isinstance(smollm2, CrossEncoderProtocol)
    assert smollm2.mteb_model_meta.is_cross_encoder
    result = mteb.evaluate(smollm2, MiniTask(), cache=None, encode_kwargs={"batch_size": 4})
    (task,) = result.task_results
    ours = json.loads(done.stdout)["ranking"]["mini"]["hf:smollm2"]
    (theirs,) = task.scores["test"]
    assert theirs["ndcg_at_10"] == pytest.approx(ours["nDCG@10"], abs=1e-5)
    assert theirs["map_at_5"] == pytest.approx(ours["AP@5"], abs=1e-5)
