"""Verbatim and invented evidence about real documents: what grounding leaves and what it cites.

    python tests/benchmarks/grounded_documents.py BEIR_DIR… [default: the bundled corpus]

Of each document two sentences are the evidence, once as they are and once with a sentence of
invented numbers, names, dates and quotations behind them. Prints how many texts stay as they are,
facts that the document lacks, citations that differ from what they
cite by more than white space, and milliseconds a text.
"""

import argparse
import random
import time
from collections import Counter
from pathlib import Path

from prism_cli.bundled import CORPUS
from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.grounded_texts import grounded_texts
from prism_cli.domain.sentences import sentence_spans
from prism_cli.rows.texts import titled
from prism_cli.shards.reader import read_rows

DOCUMENTS = 60
QUERY = "?"
INVENTED = "98765 km 「虚构之名」 Zorblax Quuxington 12 March 1755."


def measure(folder: Path) -> None:
    """Print the figures of the documents of one BEIR folder."""
    chance = random.Random(0)
    rows = [row for _, row in read_rows([str(folder / "corpus.jsonl")])]
    counts: Counter[str] = Counter()
    begun = time.process_time()
    for row in chance.sample(rows, min(DOCUMENTS, len(rows))):
        title, text = row.get("title") or "", row["text"]
        spans = sentence_spans(text)
        if not spans:
            continue
        document = titled(title, text)
        chosen = sorted(chance.sample(spans, min(2, len(spans))))
        verbatim = " ".join(text[start:end] for start, end in chosen)
        for name, evidence in (("verbatim", verbatim), ("invented", f"{verbatim} {INVENTED}")):
            fields = grounded_texts(
                QUERY, document, len(document) - len(text), "Says it.", evidence,
                mode="repair", counts=Counter(),
            )  # fmt: skip
            counts[name] += 1
            counts[f"{name} unchanged"] += fields["evidence"] == evidence
            counts["missing"] += len(entity_fidelity(fields["evidence"], document).missing)
            for citation in fields["citations"]:
                source = title if citation["field"] == "title" else text
                cited = source[citation["source_start"] : citation["source_end"]]
                counts["citations"] += 1
                part = fields["evidence"][citation["start"] : citation["end"]]
                counts["differ"] += cited.split() != part.split()
    texts = counts["verbatim"] + counts["invented"]
    print(
        f"{folder.name}: verbatim {counts['verbatim unchanged']} of {counts['verbatim']} unchanged,"
        f" invented {counts['invented unchanged']} of {counts['invented']} unchanged, missing facts"
        f" {counts['missing']}, {counts['differ']} of {counts['citations']} citations differ,"
        f" {(time.process_time() - begun) / max(texts, 1) * 1000:.0f} ms a text"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", metavar="BEIR_DIR", type=Path, nargs="*")
    for folder in parser.parse_args().folders or [CORPUS / "test"]:
        measure(folder)
