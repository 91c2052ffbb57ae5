"""Reasons for lost workers, from what Ray 2.60 says; variables that workers get."""

import pytest

from prism_cli.spreads.ray_actors import variables_of
from prism_cli.spreads.ray_words import missing_module, why_lost

_DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: actor_class.<locals>.RayShardActor
\tactor_id: a8bbae2d1dd1a0ef0ee5be2c01000000
\tpid: 4431
\tip: 127.0.0.3
"""
_KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: Worker unexpectedly exits with a connection error code 2. End of file. Some "
    "common causes include: (1) the process was killed by the OOM killer due to high memory usage."
)
_NODE = (
    "The actor died because its node has died. Node Id: 3b1b. the actor's node was terminated "
    "unexpectedly: health check failed due to missing too many heartbeats"
)
_MEMORY = "Task was killed due to the node running low on memory.\n" + "Memory on the node\n" * 40


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (_KILLED, "its process was killed or crashed, such as for want of memory"),
        (_NODE, "its node is gone"),
        (_MEMORY, "Ray ended it, since its node was out of memory"),
        ("The actor is temporarily unavailable: RpcError: Socket closed", "it cannot be reached"),
        ("The owner has died", "its command is gone"),
    ],
)
def test_usual_reasons_are_told_in_a_few_words(words: str, reason: str) -> None:
    assert why_lost(RuntimeError(_DIED + words)).startswith(reason)


def test_other_reasons_end_with_a_sentence_or_a_word() -> None:
    exit_detail = "Worker exit detail: " + "it is so. " * 30
    told = why_lost(RuntimeError(_DIED + exit_detail))
    assert told.startswith("it is so.")
    assert told.endswith("it is so")
    assert len(told) <= 200
    assert why_lost(RuntimeError("word " * 100)).endswith("word …")


def test_a_node_without_prism_is_named() -> None:
    error = missing_module(RuntimeError(_DIED + "ModuleNotFoundError: No module named 'prism_cli'"))
    assert "127.0.0.3: has no module prism_cli; its Python environment needs" in str(error)
    assert missing_module(RuntimeError(_DIED)) is None


def test_workers_get_no_keys() -> None:
    environment = {"PRISM_STATE": "state", "PRISM_API_KEYS": "sk-1", "OPENAI_API_KEY": "sk-2"}
    assert variables_of(environment) == {"PRISM_STATE": "state"}
