"""The code of `prism help integrations`, as it is but for the server's address and the model."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prism_cli.bundled import HELP
from tests.clients.environments import SCRIPTS

TEXT = (HELP / "integrations.md").read_text("utf-8")
BRIDGE = "The bridge dates from 1894."
EXPECTED = [["yes", BRIDGE], ["no", None]]
"""Verdict and evidence, best first; the scripted model copies the document."""

LANGCHAIN = """
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.retrievers import BaseRetriever

class Found(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document("The market is on Fridays.", metadata={"page": 1}), *documents]

found = ContextualCompressionRetriever(
    base_compressor=PrismReranker(top_n=2), base_retriever=Found()
).invoke("age of the bridge")
outcome = [[one.metadata["verdict"], one.metadata.get("evidence")] for one in found]
assert found[0].metadata["citations"] and 0 < found[0].metadata["relevance_score"] < 1
assert found[1].metadata["page"] == 1
assert not documents[0].metadata, "the caller's documents stay as they are"
assert PrismReranker().compress_documents([], "q") == []
"""
LLAMA_INDEX = """
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever

class Found(BaseRetriever):
    def _retrieve(self, query_bundle):
        return nodes

engine = RetrieverQueryEngine.from_args(
    Found(), llm=MockLLM(), node_postprocessors=[PrismRerank(top_n=2)]
)
reply = engine.query("age of the bridge")
assert "evidence: The bridge dates from 1894." in str(reply), "the prompt, which MockLLM repeats"
found = reply.source_nodes
outcome = [[one.metadata["verdict"], one.metadata.get("evidence")] for one in found]
assert 1 > found[0].score > found[1].score > 0
assert not nodes[0].metadata, "the caller's nodes stay as they are"
assert PrismRerank().postprocess_nodes([], query_str="q") == []
"""
HAYSTACK = """
from haystack import Pipeline

pipeline = Pipeline()
pipeline.add_component("ranker", PrismRanker(top_k=2))
found = pipeline.run({"ranker": {"query": "age of the bridge", "documents": documents}})
found = found["ranker"]["documents"]
outcome = [[one.meta["verdict"], one.meta.get("evidence")] for one in found]
assert 1 > found[0].score > found[1].score > 0
assert found[0].id == documents[1].id and found[0].meta["citations"]
assert not documents[0].meta, "the caller's documents stay as they are"
assert PrismRanker().run("q", []) == {"documents": []}
"""
COHERE = """
outcome = [[one.verdict, getattr(one, "evidence", None)] for one in reply.results]
"""
HTTPX = """
outcome = [[one["verdict"], one.get("evidence")] for one in reply.json()["results"]]
"""
AGENTS = """
from openai.types.chat import ChatCompletionMessage, ChatCompletionToolParam
from pydantic import TypeAdapter

TypeAdapter(ChatCompletionToolParam).validate_python(TOOL)
texts = ["The market is on Fridays.", "The bridge dates from 1894."]
arguments = {"query": "age of the bridge", "documents": texts}
call = {"name": "read_documents", "arguments": json.dumps(arguments)}
message = ChatCompletionMessage.model_validate({
    "role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": call}]
})
(answer,) = answer_calls(message)
assert (answer["role"], answer["tool_call_id"]) == ("tool", "c1")
outcome = json.loads(answer["content"])
"""


def code(heading: str) -> str:
    """Return the only Python block below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(block)


def run(client: Callable[..., Any], url: str, heading: str, then: str) -> Any:
    found = code(heading)
    assert "http://127.0.0.1:8010" in found
    found = found.replace("http://127.0.0.1:8010", url)
    return client(SCRIPTS / "snippet.py", {"code": found, "then": then}, "python")


@pytest.mark.parametrize(
    ("heading", "then"),
    [
        ("LangChain", LANGCHAIN),
        ("LlamaIndex", LLAMA_INDEX),
        ("Haystack", HAYSTACK),
        ("cohere", COHERE),
        ("httpx", HTTPX),
    ],
    ids=["langchain", "llama_index", "haystack", "cohere", "httpx"],
)
def test_evidence_goes_on(
    served_without_keys: str, client: Callable[..., Any], heading: str, then: str
) -> None:
    assert run(client, served_without_keys, heading, then) == EXPECTED


def test_an_agent_reads_evidence(served_without_keys: str, client: Callable[..., Any]) -> None:
    (result,) = run(client, served_without_keys, "Agents", AGENTS)
    assert result["index"] == 1
    assert result["evidence"] == BRIDGE


def test_in_the_same_process(tiny_reranker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = code("In the same process").replace("hf:prism-tiny", str(tiny_reranker))
    with pytest.warns(UserWarning, match="known relevant pair"):
        exec(compile(found, "integrations.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["0", "1"]
    scores = [float(line.split()[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def test_every_block_is_tested() -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    tested = {"LangChain", "LlamaIndex", "Haystack", "cohere", "httpx", "Agents"}
    assert {*headings} == tested | {"In the same process"}
    assert TEXT.count("```python") == len(headings)
