"""Bi-encoders as first stage: exact search, prompts and adapters, and trust of remote code."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.first_stages import bi_encoder
from prism_cli.adapters.first_stages.bi_encoder import (
    BiEncoderFirstStage,
    Hits,
    best_hits,
    load_bi_encoder,
)
from prism_cli.errors import ModelError, PrismError, UsageError
from prism_cli.modeling.embedded import minilm_path
from tests.adapters.first_stages.bi_encoders import tiny_bert, tiny_jina
from tests.mini import MINI

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CORPUS = {
    "a": "steam engines drive the mill",
    "b": "the river runs past the town",
    "c": "steam engines drive the mill",
}


def load(spec: str, corpus: dict[str, str] = CORPUS, **more: str | None) -> BiEncoderFirstStage:
    settings = {"device": "cpu", "dtype": "float32", "trusted": None, **more}
    return load_bi_encoder(spec, corpus.items, Path("kept"), **settings)  # type: ignore[arg-type]


def plain_search(
    queries: np.ndarray, ids: list[str], vectors: np.ndarray, top_k: int
) -> list[Hits]:
    """Reference search: sort all scores of a query."""
    return [
        sorted(
            ((doc_id, round(float(score), 6)) for doc_id, score in zip(ids, row, strict=True)),
            key=lambda hit: (hit[1], hit[0]),
            reverse=True,
        )[:top_k]
        for row in queries @ vectors.T
    ]


@given(
    st.lists(st.integers(-2, 2), min_size=6, max_size=60),
    st.integers(1, 9),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_search_in_blocks_equals_the_plain_search_with_many_ties(
    numbers: list[int], block: int, top_k: int, lot: "st.DrawFn"
) -> None:
    rows = len(numbers) // 3
    vectors = np.array(numbers[: rows * 3], dtype=np.float32).reshape(rows, 3)
    ids = [f"d{index}" for index in range(rows)]
    lot.shuffle(ids)  # type: ignore[attr-defined]
    queries = np.array([[1, 0, 0], [1, 1, -1], [0, 0, 0]], dtype=np.float32)
    blocks = [(ids[i : i + block], vectors[i : i + block]) for i in range(0, rows, block)]
    assert best_hits(queries, blocks, top_k, CPU) == plain_search(queries, ids, vectors, top_k)


def test_searching_queries_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lot = np.random.default_rng(3)
    queries = lot.standard_normal((7, 8)).astype(np.float32)
    vectors = lot.standard_normal((90, 8)).astype(np.float32)
    blocks = [([f"d{i}" for i in range(s, s + 30)], vectors[s : s + 30]) for s in (0, 30, 60)]
    unblocked = best_hits(queries, blocks, 10, CPU)
    monkeypatch.setattr(bi_encoder, "QUERIES", 3)
    parts = best_hits(queries, blocks, 10, CPU)
    assert [[doc for doc, _ in hits] for hits in parts] == [
        [d for d, _ in hits] for hits in unblocked
    ]


def test_minilm_ranks_real_text_as_a_plain_search_does() -> None:
    from sentence_transformers import SentenceTransformer

    data = BeirSet(MINI)
    texts = dict(data.texts())
    queries = data.judged_queries("test")
    stage = load("st:minilm", texts)
    rankings = list(stage.search(queries, 20))
    model = SentenceTransformer(str(minilm_path()), device="cpu")
    query_vectors = model.encode([query for _, query in queries], normalize_embeddings=True)
    vectors = model.encode(list(texts.values()), normalize_embeddings=True)
    plain = plain_search(query_vectors, list(texts), vectors, 20)
    for hits, expected in zip(rankings, plain, strict=True):
        np.testing.assert_allclose([s for _, s in hits], [s for _, s in expected], atol=2e-6)
        assert len({doc_id for doc_id, _ in hits}) == 20
    assert sum(h[0][0] == e[0][0] for h, e in zip(rankings, plain, strict=True)) == len(queries)


def test_equal_texts_tie_and_the_greater_id_comes_first() -> None:
    (hits,) = load("st:minilm").search([("q", "steam mill")], 3)
    assert [doc_id for doc_id, _ in hits] == ["c", "a", "b"]
    assert hits[0][1] == hits[1][1] > hits[2][1]


def test_own_prompt_and_dot_product_are_used(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tiny_bert(tmp_path / "bert")
    (hits,) = load(f"st:{folder}").search([("q", "steam mill")], 3)
    model = SentenceTransformer(str(folder), device="cpu")
    vectors = model.encode(["find this: steam mill"], prompt="")
    expected = plain_search(vectors, list(CORPUS), model.encode(list(CORPUS.values())), 3)[0]
    assert dict(hits) == pytest.approx(dict(expected), rel=1e-5)
    assert abs(hits[0][1]) > 1.5, "not a cosine"


def test_sixteen_bit_weights_keep_sixteen_bit_vectors(tmp_path: Path) -> None:
    spec = f"st:{tiny_bert(tmp_path / 'bert', 'cosine')}"
    (hits,) = load(spec).search([("q", "steam mill")], 3)
    (half,) = load(spec, dtype="bfloat16").search([("q", "steam mill")], 3)
    assert dict(half) == pytest.approx(dict(hits), abs=0.02)
    dtypes = {str(np.load(path).dtype) for path in Path("kept").glob("*/*.npy")}
    assert dtypes == {"float32", "float16"}


def test_similarity_that_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    stage = load(f"st:{tiny_bert(tmp_path / 'bert', 'euclidean')}")
    with pytest.raises(ModelError, match="compares by euclidean"):
        list(stage.search([("q", "steam")], 1))


def test_jina_v3_uses_its_adapters_and_prompts(tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoTokenizer, JinaEmbeddingsV3Model

    folder = tiny_jina(tmp_path / "jina")
    (hits,) = load(f"st:{folder}").search([("q", "steam mill")], 3)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def vectors(task: str, texts: list[str]) -> np.ndarray:
        base = JinaEmbeddingsV3Model.from_pretrained(folder)
        model = PeftModel.from_pretrained(base, folder / task).eval()
        hits = []
        for text in texts:
            with torch.no_grad():
                inputs = tokenizer(text, return_tensors="pt")
                mean = model(**inputs).last_hidden_state[0].mean(0)
            hits.append((mean / mean.norm()).numpy())
        return np.array(hits)

    query_vectors = vectors(
        "retrieval_query", ["Represent the query for retrieving evidence documents: steam mill"]
    )
    document_vectors = vectors(
        "retrieval_passage",
        [f"Represent the document for retrieval: {document}" for document in CORPUS.values()],
    )
    assert dict(hits) == pytest.approx(
        dict(plain_search(query_vectors, list(CORPUS), document_vectors, 3)[0]), abs=2e-6
    )


def test_jina_v3_without_an_adapter_or_with_other_weights_is_refused(tmp_path: Path) -> None:
    folder = tiny_jina(tmp_path / "jina")
    shutil.copy(folder / "model.safetensors", folder / "retrieval_query/adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"retrieval_query does not fit .* own class"):
        list(load(f"st:{folder}").search([("q", "steam")], 1))
    shutil.rmtree(folder / "retrieval_query")
    with pytest.raises(ModelError, match=r"no retrieval_query/adapter_config\.json"):
        list(load(f"st:{folder}").search([("q", "steam")], 1))


def test_the_papers_model_has_its_native_form_on_the_hub() -> None:
    with pytest.raises(ModelError, match="hf download jinaai/jina-embeddings-v3-hf"):
        load("st:jinaai/jina-embeddings-v3")


def test_a_cross_encoder_is_refused_as_first_stage(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    (folder / "config_sentence_transformers.json").write_text('{"model_type": "CrossEncoder"}')
    with pytest.raises(ModelError, match="needs a bi-encoder"):
        load(f"st:{folder}")


CODE = """
from pathlib import Path
from sentence_transformers.models import Transformer
class Own(Transformer):
    def __init__(self, *args, **kwargs):
        Path("ran").write_text({mark!r})
        super().__init__(*args, **kwargs)
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that makes a hub cache with my/model, whose module has its own code."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    modules = tmp_path / "modules"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(modules))
    monkeypatch.syspath_prepend(str(modules))

    def made(commit: str) -> Path:
        folder = tmp_path / "hub" / "models--my--model" / "snapshots" / commit
        tiny_bert(folder)
        text = (folder / "modules.json").read_text()
        text = text.replace("sentence_transformers.models.Transformer", "own.Own")
        (folder / "modules.json").write_text(text)
        (folder / "own.py").write_text(CODE.format(mark=commit))
        return folder

    return made


def test_code_runs_only_at_the_commit_that_is_trusted(hub: Callable[[str], Path]) -> None:
    other = COMMIT[::-1]
    folder = hub(COMMIT)
    hub(other)
    trusted = load("st:my/model", trusted=f"my/model@{COMMIT}")
    assert not Path("ran").exists(), "nothing runs before it is needed"
    assert len(next(iter(trusted.search([("q", "steam")], 3)))) == 3
    assert Path("ran").read_text() == COMMIT
    assert trusted.fingerprint != load("st:my/model", trusted=f"my/model@{other}").fingerprint
    assert f"code my/model@{COMMIT}" in trusted.fingerprint
    Path("ran").unlink()
    for spec in (f"st:my/model@{COMMIT}", f"st:{folder}"):
        with pytest.raises(ModelError, match=r"needs code of its own \(own.Own\)"):
            load(spec)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("spec", "trusted", "message"),
    [
        ("st:my/model", "my/model@main", "40 hexadecimal digits"),
        ("st:my/model", "my/model", "40 hexadecimal digits"),
        ("st:my/model", f"my/model@{COMMIT[:39]}", "40 hexadecimal digits"),
        ("st:my/other", f"my/model@{COMMIT}", "the first stage is st:my/other"),
        (f"st:my/model@{COMMIT[::-1]}", f"my/model@{COMMIT}", "the first stage is st:my/model@"),
        ("st:minilm", f"my/model@{COMMIT}", "the first stage is st:minilm"),
    ],
)
def test_trust_of_another_form_or_model_is_refused(spec: str, trusted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(spec, trusted=trusted)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"auto_map": {"AutoModel": "their/code--model.Their"}, '),
        (
            "tokenizer_config.json",
            '{"auto_map": {"AutoTokenizer": [null, "their/code--a.Their"]}, ',
        ),
        ("adapter_config.json", '{"base_model_name_or_path": "their/code", '),
    ],
)
@pytest.mark.parametrize("own_file", [True, False])
def test_code_of_another_repository_is_refused_even_if_the_model_is_trusted(
    hub: Callable[[str], Path], file: str, content: str, own_file: bool
) -> None:
    folder = hub(COMMIT)
    if not own_file:
        text = (folder / "modules.json").read_text()
        text = text.replace("own.Own", "sentence_transformers.models.Transformer")
        (folder / "modules.json").write_text(text)
    path = folder / file
    before = path.read_text() if path.exists() else '{"r": 4}'
    path.write_text(before.replace("{", content, 1))
    with pytest.raises(ModelError, match=r"another repository \(their/code"):
        load("st:my/model", trusted=f"my/model@{COMMIT}")


def test_a_known_class_needs_no_remote_code(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "bert")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        text.replace("{", '{"auto_map": {"AutoModel": "their/code--model.Their"},', 1)
    )
    assert len(next(iter(load(f"st:{folder}").search([("q", "steam")], 2)))) == 2


def test_a_bad_model_is_reported(tmp_path: Path) -> None:
    def errors() -> Iterator[type[PrismError]]:
        for spec in ("st:", "st:./nowhere", f"st:{tmp_path}"):
            with pytest.raises(PrismError) as caught:
                load(spec)
            yield caught.type

    assert list(errors()) == [UsageError, ModelError, ModelError]
