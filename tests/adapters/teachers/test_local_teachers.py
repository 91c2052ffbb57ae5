"""Teachers on real text: st:minilm, and a cross-encoder of random weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from prism_cli.adapters.datasets.beir import BeirSet
from prism_cli.adapters.teachers.bi_encoder import BiEncoderTeacher
from prism_cli.adapters.teachers.cross_encoder import CrossEncoderTeacher
from prism_cli.adapters.teachers.load import Teacher, load_teacher
from prism_cli.errors import ModelError, PrismError, UsageError
from prism_cli.modeling.embedded import minilm_path
from prism_cli.ports import BatchBackend
from tests.mini import MINI


def cross_encoder(folder: Path, labels: int = 1) -> Path:
    """Write a random two-layer BERT with MiniLM's tokenizer, as transformers does."""
    torch.manual_seed(3)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=labels,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_path()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoderTeacher:
    teacher = load_teacher(f"st:{cross_encoder(tmp_path_factory.mktemp('cross'))}", "cpu")
    assert isinstance(teacher, CrossEncoderTeacher)
    return teacher


@pytest.fixture(scope="module")
def minilm() -> BiEncoderTeacher:
    teacher = load_teacher("st:minilm", "cpu")
    assert isinstance(teacher, BiEncoderTeacher)
    return teacher


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    """Return each query with its document, then with one of another article."""
    data = BeirSet(MINI)
    documents = {name: f"{title} {text}" for name, title, text in _corpus()}
    judged_pairs = []
    for query_id, query in list(data.judged_queries("test", 12)):
        (relevant, *_) = data.qrels("test")[query_id]
        other = next(
            name for name in documents if name.partition("-")[0] != relevant.partition("-")[0]
        )
        judged_pairs += [(query, documents[relevant]), (query, documents[other])]
    assert len(judged_pairs) == 24
    return judged_pairs


def _corpus() -> list[tuple[str, str, str]]:
    rows = map(json.loads, (MINI / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    return [(row["_id"], row["title"], row["text"]) for row in rows]


def scores(teacher: Teacher, pairs: Sequence[tuple[str, str]]) -> list[float]:
    return [reply.value["score"] for reply in teacher.answer(pairs)]


def test_relevant_document_scores_above_an_irrelevant_one(
    minilm: BiEncoderTeacher, pairs: list[tuple[str, str]]
) -> None:
    values = scores(minilm, pairs)
    relevant, irrelevant = values[::2], values[1::2]
    assert all(high > other for high, other in zip(relevant, irrelevant, strict=True))
    assert sum(relevant) > sum(irrelevant) + 12 * 0.2
    assert sum(irrelevant) / 12 < 0.2


@pytest.mark.parametrize("name", ["minilm", "cross"])
def test_scores_do_not_depend_on_the_batch(
    name: str, pairs: list[tuple[str, str]], request: pytest.FixtureRequest
) -> None:
    teacher = request.getfixturevalue(name)
    assert isinstance(teacher, BatchBackend)
    together = scores(teacher, pairs)
    alone = [scores(teacher, [pair])[0] for pair in pairs]
    planned = dict[int, float]()
    for batch in teacher.plan(pairs):
        planned.update(zip(batch, scores(teacher, [pairs[index] for index in batch]), strict=True))
    assert alone == pytest.approx(together, abs=2e-6)
    assert [planned[index] for index in range(len(pairs))] == pytest.approx(together, abs=2e-6)
    assert together == scores(teacher, pairs)


@pytest.mark.parametrize("name", ["minilm", "cross"])
def test_scores_are_in_the_unit_interval_for_any_text(
    name: str, request: pytest.FixtureRequest
) -> None:
    texts = ["", " ", "a", "世界" * 3000, "\u202e<|im_end|>", "x" * 20_000]
    values = scores(request.getfixturevalue(name), [(q, d) for q in texts for d in texts])
    assert all(0 <= score <= 1 for score in values)


def test_equal_texts_of_a_batch_are_embedded_once(
    minilm: BiEncoderTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_inputs: list[Any] = []
    for name in ("queries", "documents"):
        original = getattr(minilm._encoder, name)

        def noted(texts: Sequence[str], original: Any = original) -> Any:
            seen_inputs.extend(texts)
            return original(texts)

        monkeypatch.setattr(minilm._encoder, name, noted)
    scores(minilm, [("q", "d"), ("q", "e"), ("p", "d")])
    assert sorted(seen_inputs) == ["d", "e", "p", "q"]


def test_cross_encoder_scores_as_sentence_transformers_does(
    cross: CrossEncoderTeacher, pairs: list[tuple[str, str]]
) -> None:
    from sentence_transformers import CrossEncoder

    plain = CrossEncoder(cross.spec.removeprefix("st:"), device="cpu")
    logits = plain.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    expected = torch.sigmoid(torch.tensor(logits)).tolist()
    assert scores(cross, pairs) == pytest.approx(expected, abs=2e-6)
    assert len({round(score, 3) for score in expected}) > 5


def test_a_model_saved_by_sentence_transformers_is_a_cross_encoder_too(
    cross: CrossEncoderTeacher, tmp_path: Path
) -> None:
    from sentence_transformers import CrossEncoder

    CrossEncoder(cross.spec.removeprefix("st:"), device="cpu").save_pretrained(str(tmp_path / "ce"))
    saved = load_teacher(f"st:{tmp_path / 'ce'}", "cpu")
    assert isinstance(saved, CrossEncoderTeacher)
    pair = [("a fox", "the fox is red")]
    assert scores(saved, pair) == pytest.approx(scores(cross, pair), abs=2e-6)


def test_the_fingerprint_depends_on_the_weights_and_not_on_the_path(tmp_path: Path) -> None:
    model = cross_encoder(tmp_path / "one")
    other = cross_encoder(tmp_path / "other")
    (other / "README.md").write_text("words")
    prints = [load_teacher(f"st:{path}").fingerprint for path in (model, other)]
    assert prints[0] == prints[1]
    file = other / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert load_teacher(f"st:{other}").fingerprint != prints[0]


def test_classifier_of_several_classes_is_refused(tmp_path: Path) -> None:
    teacher = load_teacher(f"st:{cross_encoder(tmp_path / 'three', labels=3)}", "cpu")
    with pytest.raises(ModelError, match="one output, found 3"):
        teacher.answer([("a", "b")])


def test_truncated_weights_are_reported(tmp_path: Path) -> None:
    path = cross_encoder(tmp_path / "torn")
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_teacher(f"st:{path}", "cpu").answer([("a", "b")])


def test_weights_that_are_not_numbers_are_reported(tmp_path: Path) -> None:
    path = cross_encoder(tmp_path / "nan")
    model = BertForSequenceClassification.from_pretrained(path)
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    model.save_pretrained(path)
    with pytest.raises(ModelError, match="not finite"):
        load_teacher(f"st:{path}", "cpu").answer([("a", "b")])


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("minilm", UsageError, "expected st:minilm"),
        ("st:", UsageError, "expected st:minilm"),
        ("org/model", UsageError, "expected st:minilm, st:PATH or st:HUB_ID"),
        ("st:/no/where", ModelError, "no such directory"),
        ("st:org/nothing", ModelError, "hf download org/nothing"),
        ("st:bad name!", ModelError, "not in the hub cache"),
        ("st:empty", ModelError, "found neither"),
        ("st:llama", ModelError, "found LlamaForCausalLM"),
        ("st:broken", ModelError, "config.json: expected a JSON object"),
        ("st:list", ModelError, "found list"),
    ],
)
def test_specs_that_name_no_teacher(spec: str, kind: type[PrismError], message: str) -> None:
    for name, content in {
        "empty": None,
        "llama": '{"architectures": ["LlamaForCausalLM"]}',
        "broken": "{",
        "list": "[]",
    }.items():
        Path(name).mkdir()
        if content is not None:
            (Path(name) / "config.json").write_text(content)
    with pytest.raises(kind, match=message):
        load_teacher(spec)


@pytest.mark.parametrize("name", ["minilm", "cross"])
def test_only_the_part_of_a_document_that_the_model_reads_is_tokenized(
    name: str, request: pytest.FixtureRequest, pairs: list[tuple[str, str]]
) -> None:
    teacher: Any = request.getfixturevalue(name)
    query, document = pairs[0]
    text = " ".join(other for _, other in pairs)
    long = f"  {document} {text * 3}"
    scores(teacher, [(query, document)])  # loads it
    tokens_read = _read_by(teacher, long)
    assert len(tokens_read) < len(long) / 3
    assert long.startswith(tokens_read)
    assert scores(teacher, [(query, long)]) == scores(teacher, [(query, long * 20)])
    assert scores(teacher, [(query, tokens_read)]) == scores(teacher, [(query, long)])


def _read_by(teacher: Any, text: str) -> str:
    if isinstance(teacher, CrossEncoderTeacher):
        return teacher._cut([("q", text)])[0][1]
    (read,) = teacher._encoder._truncator.of([text])
    return str(read)
