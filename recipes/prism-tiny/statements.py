"""Contributions for questions whose short answer is known, written by SmolLM2.

    python statements.py pairs.jsonl FOLDER ... -o pairs.jsonl

A yes row of a BEIR folder with answers.jsonl gets as contribution the statement that the model
makes of question and answer ("When was it built?", "1889": "It was built in 1889."), and as
evidence the sentence of its document that holds the answer. A statement is kept if it holds the
answer and most words of the question, and nothing else; so a third of them is kept. English alone:
the examples are.
"""

import argparse
import copy
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prism_cli.domain.sentences import sentences
from prism_cli.modeling.embedded import smollm2_path

EXAMPLES = """\
Question: Who wrote the novel Ulysses?
Answer: James Joyce
Statement: James Joyce wrote the novel Ulysses.

Question: When was the Eiffel Tower built?
Answer: 1889
Statement: The Eiffel Tower was built in 1889.

Question: What did Apple release in 2007?
Answer: the iPhone
Statement: Apple released the iPhone in 2007.

Question: How many people live in Oslo?
Answer: about 700,000
Statement: About 700,000 people live in Oslo.

Question: Where did the Normans settle?
Answer: northern France
Statement: The Normans settled in northern France.

Question: The painter of the frieze was born in which Norwegian town?
Answer: Løten
Statement: The painter of the frieze was born in the Norwegian town of Løten.

Question: Why do leaves turn red in autumn?
Answer: they make anthocyanin
Statement: Leaves turn red in autumn because they make anthocyanin.

Question: In what year did the war between Sweden and Russia end?
Answer: 1721
Statement: The war between Sweden and Russia ended in 1721.

Question: What type of rock is basalt?
Answer: igneous
Statement: Basalt is an igneous rock.

Question: who plays the flute in the band on the barge
Answer: Ida Berg
Statement: Ida Berg plays the flute in the band on the barge.

Question: Which river does the bridge cross?
Answer: the Danube
Statement: The bridge crosses the Danube.

Question: What is the study of insects called?
Answer: entomology
Statement: The study of insects is called entomology.

"""


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


ASKING = frozenset(words("did do does how what when where which who whom whose why"))
PLAIN = ASKING | frozenset(
    words(
        "a about also an and are as at be because been by called for from had has have he her his "
        "in into is it its kind many much name of on or she than that the their they this to "
        "type was were with year"
    )
)
"""Words that a statement may lack or add."""
QUESTION_WORDS, ANSWER_WORDS, STATEMENT_WORDS = 20, 8, 32
KEPT_SHARE = 0.75
"""Share of the question's words that a statement must hold."""
BATCH = 48


def stems(text: str) -> list[str]:
    """Return the first four letters of the words that are not plain: of "built" and "building"."""
    return [word[:4] for word in words(text) if word not in PLAIN]


def is_faithful(statement: str, question: str, answer: str) -> bool:
    """Return whether a statement says what question and answer say, and nothing else."""
    said, asked = stems(statement), stems(question)
    found = words(statement)
    return (
        4 <= len(found) <= STATEMENT_WORDS
        and statement.endswith(".")
        and found[0] not in ASKING
        and re.search(rf"(?<!\w){re.escape(answer.lower())}(?!\w)", statement.lower()) is not None
        and set(said) <= {word[:4] for word in words(f"{question} {answer}")}
        and sum(stem in said for stem in asked) >= KEPT_SHARE * len(asked)
    )


def answered(rows: Sequence[dict[str, Any]], folders: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Yield the position of each yes row that states its answer, and the answer."""
    answers: dict[str, list[str]] = {}
    for folder in folders:
        for line in (folder / "answers.jsonl").read_bytes().splitlines():
            row = orjson.loads(line)
            answers[f"{folder.name}-{row['_id']}"] = row["answers"]
    for position, row in enumerate(rows):
        if row["source_label"] == "1" and len(row["query"].split()) <= QUESTION_WORDS:
            stated = [
                answer
                for answer in answers.get(row["query_id"], ())
                if answer in row["document"] and len(answer.split()) <= ANSWER_WORDS
            ]
            if stated:
                yield position, min(stated, key=len)


class Writer:
    """SmolLM2, which has read the examples once.

    Args:
        folder: an instruction model; its state after the examples is kept for all questions.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self._examples = self._tokenizer(EXAMPLES, return_tensors="pt").input_ids
        with torch.inference_mode():
            self._state = self._model(self._examples).past_key_values

    @torch.inference_mode()
    def __call__(self, asked: Sequence[tuple[str, str]]) -> list[str]:
        """Return a statement for each question and answer."""
        texts = [
            f"Question: {question}\nAnswer: {answer}\nStatement:" for question, answer in asked
        ]
        rows = self._tokenizer(texts, return_tensors="pt", padding=True)
        examples = self._examples.expand(len(texts), -1)
        state = copy.deepcopy(self._state)
        state.batch_repeat_interleave(len(texts))
        ids = torch.cat([examples, rows.input_ids], 1)
        tokens = self._model.generate(
            input_ids=ids,
            attention_mask=torch.cat([torch.ones_like(examples), rows.attention_mask], 1),
            past_key_values=state,
            max_new_tokens=STATEMENT_WORDS,
            do_sample=False,
            stop_strings=["\n"],
            tokenizer=self._tokenizer,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        written = self._tokenizer.batch_decode(tokens[:, ids.shape[1] :], skip_special_tokens=True)
        return [text.strip().partition("\n")[0] for text in written]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--limit", type=int, default=1500, help="Of questions. Default: 1500.")
    options = parser.parse_args()
    rows = list(map(orjson.loads, Path(options.rows).read_bytes().splitlines()))
    found = list(answered(rows, options.folders))
    chosen = random.Random(0).sample(found, min(options.limit, len(found)))
    write = Writer(smollm2_path())
    for start in range(0, len(chosen), BATCH):
        part = chosen[start : start + BATCH]
        statements = write([(rows[position]["query"], answer) for position, answer in part])
        for (position, answer), statement in zip(part, statements, strict=True):
            row = rows[position]
            holding = [text for text in sentences(row["document"]) if answer in text]
            if holding and is_faithful(statement, row["query"], answer):
                row |= {"contribution": statement, "evidence": holding[0]}
    Path(options.output).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


if __name__ == "__main__":
    main()
