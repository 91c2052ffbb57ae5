"""The judge of hostile_documents.py: SmolLM2 taught to answer prism's own rubric, on clean text.

Pairs are those of `prism collect` on the English passages of the corpus that comes with prism: a
question with its passage, hard negatives by BM25 and random passages. Each pair is asked in the
fenced form, which prism sends, or in the plain one, half each, so that neither is new to the
judge afterwards.
"""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from prism_cli.bundled import CORPUS
from prism_cli.domain.chat import Prompt
from prism_cli.domain.rubric import RUBRIC, JudgeTask
from tests.factories import read_jsonl

ROWS_PER_STEP = 8
TOKENS_PER_PASS = 4096
LEARNING_RATE = 5e-4
FIRST_LAYER = 15
"""Of 30; what lies below stays as it is."""
WARMUP = 0.05
CHECKPOINTS = 5
STEPS_PER_LINE = 10
MAX_WORDS = 250
"""Of a passage. The corpus's long documents are left out: cut, one would lose its answer."""
HELD_OUT = {None, "bm25", "random"}
_MARKED = "The query and the document stand between marked lines."
_PLAINLY = "The query and the document stand below, each under its heading."
_QUESTION = "Does the document help to answer the query? Answer with one word: yes or no."


class PlainTask(JudgeTask):
    """prism's judge task without its fence: query and document verbatim under headings."""

    def __init__(self) -> None:
        if _MARKED not in RUBRIC:
            raise SystemExit(f"the rubric no longer says: {_MARKED}")
        super().__init__(RUBRIC.replace(_MARKED, _PLAINLY))
        self.fingerprint = sha256(f"plain {self.fingerprint}".encode()).hexdigest()[:16]

    def prompt(self, payload: Any, attempt: int) -> Prompt:
        """Return the question with the texts verbatim."""
        query, document = payload
        return Prompt(self.rubric, f"Query:\n{query}\n\nDocument:\n{document}\n\n{_QUESTION}")


FORMS: dict[str, JudgeTask] = {"fenced": JudgeTask(), "plain": PlainTask()}


@dataclass(frozen=True)
class Pair:
    """A query and a passage.

    Attributes:
        negative: origin of an irrelevant passage, as `prism collect` names it.
    """

    query: str
    document: str
    negative: str | None

    @property
    def relevant(self) -> bool:
        """Whether the passage answers."""
        return self.negative is None


def collected(split: str, folder: Path) -> list[Pair]:
    """Return the pairs of a split: the passage that answers, six by BM25, two random, per query.

    An unanswerable question has the passage that only seems to answer it instead.
    """
    from prism_cli.rows.row import document_text
    from prism_cli.shards.reader import read_rows

    out = folder / f"{split}.jsonl"
    words = f"--split {split} --set positive_grade=2 --negatives 6 --random-negatives 2 -q"
    command = [sys.executable, "-m", "prism_cli", "collect", CORPUS / split, "-o", out]
    subprocess.run([*command, *words.split(), "--overwrite"], check=True)
    queries = read_jsonl(CORPUS / split / "queries.jsonl")
    english = {topic(row["_id"]) for row in queries if row["lang"] == "en"}
    return [
        Pair(row["query"], document_text(row), row.get("negative"))
        for _, row in read_rows([str(out)])
        if english >= {topic(row["query_id"]), topic(row["doc_id"])}
        and len(row["document"].split()) <= MAX_WORDS
    ]


def topic(name: str) -> str:
    """Return the topic of a query's or a document's id."""
    return name.rpartition("-")[0]


def held_out(pairs: list[Pair], queries: int, seed: int) -> list[Pair]:
    """Return a sample of queries with their passage, one hard negative and one random passage."""
    by_query: dict[str, dict[str | None, Pair]] = {}
    for pair in pairs:
        by_query.setdefault(pair.query, {}).setdefault(pair.negative, pair)
    lots = random.Random(seed)
    complete = sorted(
        query for query, by_verdict in by_query.items() if by_verdict.keys() == HELD_OUT
    )
    chosen = lots.sample(complete, min(queries, len(complete)))
    return [held for query in chosen for held in by_query[query].values()]


def drawn(pairs: list[Pair], seed: int) -> Iterator[tuple[Pair, str]]:
    """Yield pairs without end, each with the name of its form; every other pair is relevant."""
    lots = random.Random(seed)
    sides = [[pair for pair in pairs if pair.relevant is side] for side in (True, False)]
    while True:
        longest = max(map(len, sides))
        mixed = [lots.sample(side, len(side)) for side in sides]
        for number in range(longest):
            for side in mixed:
                yield side[number % len(side)], lots.choice(list(FORMS))


def train(start: str, pairs: list[Pair], folder: Path, minutes: float, seed: int) -> None:
    """Train the model `start` for `minutes`, and leave it in FOLDER/last: the judge `hf:FOLDER`.

    The learning rate falls with the clock, so that the end comes in time on any machine.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from prism_cli.modeling.chat_encode import ChatEncoder
    from prism_cli.modeling.loading import load_model
    from prism_cli.modeling.lora import add_lora
    from prism_cli.modeling.losses import RowBatch, RowForward, TokenizedRow
    from prism_cli.training.batches import token_batches
    from prism_cli.training.publish import publish_model

    torch.manual_seed(seed)
    loaded = load_model(start, dtype="float32")
    encoder = ChatEncoder(loaded.tokenizer)
    yes, no = encoder.single("yes"), encoder.single("no")
    assert yes is not None
    assert no is not None
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = add_lora(loaded.model, 32, 64, 0.05, targets, first_layer=FIRST_LAYER)
    forward = RowForward(model, yes, no).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.01)

    def row(pair: Pair, form: str) -> TokenizedRow:
        prompt = FORMS[form].prompt((pair.query, pair.document), 0)
        ids = encoder.encode(prompt.system, prompt.user).ids
        return TokenizedRow(ids, [], float(pair.relevant), True, pair.query)

    def publish() -> None:
        merged = deepcopy(model).merge_and_unload()
        publish_model(folder, "last", merged, loaded.tokenizer, loaded.profile, None)

    started, step, lost, reported_at = time.monotonic(), 0, 0.0, 0.0
    source = drawn(pairs, seed)
    while (elapsed := (time.monotonic() - started) / 60 / minutes) < 1:
        rate = (
            min(1.0, elapsed / WARMUP)
            * (1 + torch.cos(torch.tensor(elapsed * torch.pi)).item())
            / 2
        )
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        rows = [row(*next(source)) for _ in range(ROWS_PER_STEP)]
        for some in token_batches(rows, TOKENS_PER_PASS):
            batch = RowBatch.of(some, trained[0].device)
            logit, _ = forward(batch)
            loss = binary_cross_entropy_with_logits(logit, batch.teacher_score, reduction="sum")
            (loss / ROWS_PER_STEP).backward()
            lost += loss.item() / ROWS_PER_STEP
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % STEPS_PER_LINE == 0:
            mean, lost = lost / STEPS_PER_LINE, 0.0
            print(f"{elapsed:6.1%} step {step} loss {mean:.3f}", file=sys.stderr, flush=True)
        if elapsed - reported_at > 1 / CHECKPOINTS:
            reported_at = elapsed
            publish()
    publish()
    print(f"{step} steps of {ROWS_PER_STEP} pairs in {minutes} minutes", file=sys.stderr)


def auc(scores: list[float], relevant: list[bool]) -> float:
    """Return the area under the ROC curve; ties count half."""
    import numpy as np

    every, of_them = np.array(scores), np.array(relevant)
    yes, no = every[of_them][:, None], every[~of_them]
    return float(((yes > no) + (yes == no) / 2).mean())
