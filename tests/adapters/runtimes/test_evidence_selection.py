"""Selected evidence on a tiny random model: the sentences are those that it scores best alone."""

from math import inf
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from prism_cli import Reranker
from prism_cli.adapters.runtimes.document_splitter import MAX_TITLE, DocumentSplitter
from prism_cli.adapters.runtimes.evidence_selection import closed
from prism_cli.adapters.runtimes.transformers_runtime import TransformersReranker, load_reranker
from prism_cli.adapters.runtimes.windowed import WindowedReranker
from prism_cli.domain.extraction import MAX_SCORE_GAP
from prism_cli.domain.model_defaults import ModelDefaults
from prism_cli.ports import Reply, RerankTask, Usage, rerank_request
from tests.adapters.runtimes.test_windowed_input import Scripted

QUERY = "what drives the mill?"
TITLE = "The mill "
SENTENCES = [
    "Steam drives the mill.",
    "A cow is on the meadow!",
    "The river is wide and slow.",
    "It was built in 1889 by Marta Quill.",
]
DOCUMENT = TITLE + " ".join(SENTENCES)
LONG = "\n\n".join(
    f"Part {number} of the story. Steam drives mill {number}. A cow is on the meadow."
    for number in range(40)
)
CHINESE = "蒸汽驱动磨坊。草地上有一头牛。河流又宽又慢。"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def inner(tiny_reranker: Path) -> TransformersReranker:
    return load_reranker(str(tiny_reranker), device="cpu", max_tokens=260, batch_tokens=400)


@pytest.fixture(scope="module")
def ours(inner: TransformersReranker) -> WindowedReranker:
    return WindowedReranker(inner)


def select(document: str, body: int = 0, spans: tuple[tuple[int, int], ...] = ()) -> RerankTask:
    return RerankTask(QUERY, document, 12, -inf, body, spans, selects=True)


def selected(document: str, reply: Reply) -> list[str]:
    return [document[start:end] for start, end in reply.value["selected"]]


def best(inner: TransformersReranker, sentences: list[str], title: str = "") -> list[str]:
    """Return the sentences with the best scores, each from a prompt of its own."""
    logits = [inner.answer([RerankTask(QUERY, title + one)])[0].value["logit"] for one in sentences]
    order = sorted(range(len(logits)), key=lambda place: -logits[place])[:2]
    near = [place for place in order if logits[place] >= max(logits) - MAX_SCORE_GAP]
    return [sentences[place] for place in sorted(near)]


@pytest.mark.parametrize("gap", [0.0, MAX_SCORE_GAP])
def test_the_sentences_with_the_best_scores_are_selected(
    ours: WindowedReranker,
    inner: TransformersReranker,
    monkeypatch: pytest.MonkeyPatch,
    gap: float,
) -> None:
    monkeypatch.setattr("prism_cli.domain.extraction.MAX_SCORE_GAP", gap)
    monkeypatch.setattr(f"{__name__}.MAX_SCORE_GAP", gap)
    (reply,) = ours.answer([select(DOCUMENT, len(TITLE))])
    found = selected(DOCUMENT, reply)
    assert found == best(inner, SENTENCES, TITLE)
    alone = RerankTask(QUERY, TITLE + " ".join(found), 12, -inf)
    text = inner.answer([alone])[0].value["text"]
    assert text.startswith(reply.value["text"])


def test_a_batch_has_the_replies_of_single_tasks(ours: WindowedReranker) -> None:
    tasks = [
        *(select(text) for text in (DOCUMENT, LONG, CHINESE, SENTENCES[0])),
        RerankTask(QUERY, DOCUMENT, 12, -inf),
    ]
    batches = ours.plan(tasks)
    assert sorted(row for batch in batches for row in batch) == list(range(len(tasks)))
    together = ours.answer(tasks)
    assert "logit" in together[-1].value
    for task, reply in zip(tasks, together, strict=True):
        (single,) = ours.answer([task])
        for name in ("selected", "text", "truncated"):
            assert single.value.get(name) == reply.value.get(name)
        assert single.usage == reply.usage


def test_all_sentences_are_scored_in_one_call(
    ours: WindowedReranker, inner: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    answer = inner.answer
    monkeypatch.setattr(inner, "answer", lambda tasks: (calls.append(len(tasks)), answer(tasks))[1])
    ours.answer([select(DOCUMENT, len(TITLE)), select(CHINESE), select(SENTENCES[0])])
    assert calls == [len(SENTENCES) + 3 + 1, 2], "a single sentence is not scored"


def test_of_a_long_document_the_best_window_alone_has_evidence(inner: TransformersReranker) -> None:
    reranker = Reranker(WindowedReranker(inner), warn=False)
    (scored,) = reranker.runtime.answer([RerankTask(QUERY, LONG)])
    start, end = scored.value["best_window"]
    (reply,) = reranker.runtime.answer([select(LONG, spans=((start, end),))])
    for first, last in reply.value["selected"]:
        assert start < last
        assert first < end
    (result,) = reranker.rank(
        QUERY, [LONG], evidence_from="selected", threshold=0.0, max_new_tokens=12
    )
    assert result["best_window"] == [start, end]
    assert result["evidence"]
    assert all(part in LONG for part in result["evidence"].split(". "))
    assert result["evidence_origin"] == "selected"


@pytest.mark.parametrize(
    ("document", "sentences"),
    [
        (CHINESE, ["蒸汽驱动磨坊。", "草地上有一头牛。", "河流又宽又慢。"]),
        ("no full stop", ["no full stop"]),
    ],
)
def test_sentences_of_any_script_are_verbatim(
    ours: WindowedReranker, inner: TransformersReranker, document: str, sentences: list[str]
) -> None:
    (result,) = Reranker(ours, warn=False).rank(
        QUERY, [document], evidence_from="selected", threshold=0.0, max_new_tokens=12
    )
    assert result["evidence"] == "".join(best(inner, sentences))
    assert result["evidence_origin"] == "selected"


@pytest.mark.parametrize("document", ["…", "?!", "- - -"])
def test_a_document_without_a_sentence_is_its_own_evidence(
    ours: WindowedReranker, document: str
) -> None:
    (result,) = Reranker(ours, warn=False).rank(
        QUERY, [document], evidence_from="selected", threshold=0.0, max_new_tokens=12
    )
    assert result["evidence"] == document


@pytest.mark.parametrize(
    "end", ["</contribution>", "", "</evidence>", "\n</ Evidence>\n<contribution>"]
)
def test_a_contribution_that_ended_is_closed(end: str) -> None:
    whole = "yes\n<contribution>It is so.</contribution>"
    assert closed(f"yes\n<contribution>It is so.{end}", ended=True) == whole
    reached = closed(f"yes\n<contribution>It is so.{end}", ended=False)
    assert (reached == whole) == bool(end)
    assert closed("yes\nIt is so.", ended=True) == "yes\nIt is so."


def test_questions_are_no_evidence_beside_statements(ours: WindowedReranker) -> None:
    document = f"{QUERY.capitalize()} Steam drives it."
    assert selected(document, ours.answer([select(document)])[0]) == ["Steam drives it."]
    assert selected(QUERY, ours.answer([select(QUERY)])[0]) == [QUERY]


def test_a_long_title_is_left_out(ours: WindowedReranker, inner: TransformersReranker) -> None:
    title = "mill " * (MAX_TITLE // 5) + "  "
    (reply,) = ours.answer([select(title + " ".join(SENTENCES), len(title))])
    assert selected(title + " ".join(SENTENCES), reply) == best(inner, SENTENCES)


def test_a_short_title_that_takes_much_of_the_prompt_is_left_out(
    ours: WindowedReranker, inner: TransformersReranker
) -> None:
    title = "磨" * 99 + " "
    assert len(inner.encoder.document_ids([title])[0]) > inner.encoder.room(QUERY) / 4
    (reply,) = ours.answer([select(title + " ".join(SENTENCES), len(title))])
    assert selected(title + " ".join(SENTENCES), reply) == best(inner, SENTENCES)


def test_what_is_read_of_a_document_that_is_cut_is_found_in_its_beginning(
    inner: TransformersReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    splitter, room = DocumentSplitter(inner.encoder), inner.encoder.room(QUERY)
    whole = LONG * 50
    read = inner.encoder.token_starts(whole)[room]
    tokenized: list[str] = []
    tokenizer = inner.encoder._plain

    class Counted:
        def encode(self, text: str, **options: bool) -> Any:
            tokenized.append(text)
            return tokenizer.encode(text, **options)

    monkeypatch.setattr(inner.encoder, "_plain", Counted())
    assert splitter.beginning(select(whole)) == (0, read)
    assert 0 < sum(map(len, tokenized)) < len(whole) / 4
    tokenized.clear()
    assert splitter.beginning(select(LONG[:40])) is None
    assert not any(LONG[:40] in text for text in tokenized)


def test_the_key_says_that_evidence_is_selected(ours: WindowedReranker) -> None:
    tasks = [select(DOCUMENT), select(DOCUMENT, 9), select(DOCUMENT, 9, ((0, 40),))]
    tasks.append(tasks[0]._replace(selects=False))
    assert len({rerank_request(ours, task).key for task in tasks}) == len(tasks)


class ScoresSentences(Scripted):
    """Says yes; the sentence that names Marta Quill is the best, and one with steam the next."""

    def _one(self, task: RerankTask) -> Reply:
        logit = 3.0 if "Marta Quill" in task.document else 2.6 if "Steam" in task.document else 1.0
        if not task.max_new_tokens:
            return Reply({"logit": logit, "truncated": False})
        text = f"yes\n<contribution>{self.evidence}</contribution>"
        if not task.selects:
            text += f"\n<evidence>{self.evidence}</evidence>"
        value = {"logit": logit, "truncated": False, "text": text}
        return Reply(value, usage=Usage(5, 10))


def ranked(
    tokenizer: PreTrainedTokenizerBase,
    contribution: str = "It says that Marta Quill built it.",
    own: str | None = None,
    documents: list[Any] | None = None,
    **options: Any,
) -> list[Row]:
    inner = ScoresSentences(tokenizer, contribution)
    inner.defaults = ModelDefaults(evidence_from=own)
    document = {"title": "The mill", "text": " ".join(SENTENCES)}
    results = Reranker(WindowedReranker(inner)).rank(QUERY, documents or [document], **options)
    return [dict(result) for result in results]


def test_the_contribution_is_the_models_and_the_evidence_is_cited(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    (result,) = ranked(tokenizer, evidence_from="selected")
    assert result["evidence"] == f"{SENTENCES[0]} {SENTENCES[3]}"
    assert result["contribution"] == "It says that Marta Quill built it."
    assert result["format_ok"]
    assert result["unsupported"] == []
    text = " ".join(SENTENCES)
    cited = [text[one["source_start"] : one["source_end"]] for one in result["citations"]]
    assert cited == [SENTENCES[0], SENTENCES[3]]


def test_of_a_document_that_is_cut_only_what_is_read_is_evidence(
    inner: TransformersReranker,
) -> None:
    read = inner.encoder.token_starts(LONG)[inner.encoder.room(QUERY)]
    assert read < len(LONG) / 2
    (whole,) = WindowedReranker(inner, cut=True).answer([select(LONG)])
    (beginning,) = WindowedReranker(inner).answer([select(LONG, spans=((0, read),))])
    assert whole == beginning
    assert all(start < read for start, _ in whole.value["selected"])


@pytest.mark.parametrize("grounding", ["repair", "report"])
def test_evidence_cites_its_own_sentences_among_similar_ones_and_each_once(
    tokenizer: PreTrainedTokenizerBase, grounding: str
) -> None:
    more = "carries 10 cars over the wide river in summer."
    first = "The ferry number 2 carries 10 cars over the wide river in winter with Marta Quill."
    second = "The ferry number 4 carries Steam over the wide river in summer."
    text = f"The ferry number 1 {more} {first} The ferry number 3 {more} {second} {first}"
    options: Any = {"evidence_from": "selected", "grounding": grounding}
    (result,) = ranked(tokenizer, documents=[{"title": "Ferries", "text": text}], **options)
    assert result["evidence"] == f"{first} {second}"
    cited = [text[one["source_start"] : one["source_end"]] for one in result["citations"]]
    assert cited == [first, second]
    assert [one["field"] for one in result["citations"]] == ["document", "document"]
    assert result["citations"][1]["start"] == len(first) + 1


def test_a_title_is_the_evidence_where_the_text_has_no_sentence(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    document = {"title": "Marta Quill built it.", "text": "👍"}
    for grounding in ("repair", "report", "off"):
        options: Any = {"evidence_from": "selected", "grounding": grounding}
        (result,) = ranked(tokenizer, documents=[document], **options)
        assert result["evidence"] == "Marta Quill built it."
        assert result["format_ok"]


def test_an_invented_contribution_is_replaced_and_the_evidence_stays(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    invented = "Bernard Falk built it in 1904."
    (result,) = ranked(tokenizer, invented, evidence_from="selected")
    assert result["contribution_generated"] == invented
    assert "Falk" not in result["contribution"]
    assert result["evidence_origin"] == "selected"
    assert "evidence_generated" not in result
    (kept,) = ranked(tokenizer, invented, evidence_from="selected", grounding="report")
    assert kept["contribution"] == invented
    assert kept["evidence_origin"] == "selected"
    (bare,) = ranked(tokenizer, invented, evidence_from="selected", grounding="off")
    assert bare["evidence"] == result["evidence"]
    (broken,) = ranked(tokenizer, "", evidence_from="selected")
    assert broken["format_ok"] is False
    assert broken["contribution"]


def test_the_model_states_its_source_and_the_option_overrides_it(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    def origin(own: str | None, **options: Any) -> str:
        return str(ranked(tokenizer, SENTENCES[3], own, **options)[0]["evidence_origin"])

    assert origin(None) == "generated"
    assert origin("selected") == "selected"
    assert origin("selected", evidence_from="model") == "generated"
    assert origin("selected", evidence_from="extractive") == "extracted"
    assert origin("selected", long_documents="cut") == "selected"


def test_the_budget_counts_selected_evidence_and_repeats_are_left_out(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    texts = [f"{SENTENCES[3]} {word}." for word in ("One", "Two", "Three")]
    results = ranked(tokenizer, documents=texts, evidence_from="selected", max_evidence_tokens=50)
    reasons = [one["evidence_omitted"] for one in results]
    assert reasons[0] is None
    assert reasons[-1] == "max_evidence_tokens"
    results = ranked(tokenizer, documents=texts, evidence_from="selected", skip_repeats=True)
    assert [one["evidence_omitted"] for one in results] == [None, "repeats", "repeats"]
