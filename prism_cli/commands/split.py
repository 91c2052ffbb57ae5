"""`prism split`: train and dev without shared queries, and without what test sets hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prism_cli.commands.options import Common, Inputs
from prism_cli.commands.settings import with_settings
from prism_cli.configs.split import SplitConfig

if TYPE_CHECKING:
    from prism_cli.adapters.datasets.beir import BeirSet

_LARGEST_SHARE = 0.5
app = typer.Typer(
    add_completion=False,
    help="Split rows into train and dev, clear of evaluation sets.",
    epilog="Example: prism split labelled.jsonl -o data --exclude-eval beir/scifact "
    "--exclude-eval beir/nfcorpus",
)


@app.command()
@with_settings(SplitConfig, "split")
def split(inputs: Inputs, *, given: dict[str, object], common: Common) -> None:
    """Write DIR/train.jsonl and DIR/dev.jsonl (-o DIR).

    An original query, its near-duplicates, and queries that share a positive document stand on one
    side. A document that is positive in dev is never positive in train. Exit code 3 where train or
    dev would hold no row.
    """
    from prism_cli.adapters.datasets.beir import BeirSet
    from prism_cli.commands.row_run import run_row_stage
    from prism_cli.configs.load import load_with_origins
    from prism_cli.errors import MissingDataError
    from prism_cli.stages.split import SplitStage

    config, origins = load_with_origins(
        SplitConfig, "split", recipe=common.recipe, flags=given, sets=common.sets
    )
    sets = [BeirSet(Path(folder)) for folder in config.exclude_eval]
    number_given, share_given = "dev_queries" in origins, "dev_share" in origins
    stage = SplitStage(
        dev_queries=config.dev_queries,
        dev_share=config.dev_share if share_given or not number_given else _LARGEST_SHARE,
        number_given=number_given,
        exclude=[
            _TestSet(data, config.eval_split, config.eval_documents == "corpus") for data in sets
        ],
        seed=config.seed,
    )
    dependencies = [path for data in sets for path in data.files(config.eval_split)]
    summary = run_row_stage(stage, inputs, common, config, dependencies=dependencies)
    for path in map(Path, (*summary.outputs, *summary.finished_before) if summary else ()):
        if (
            path.is_file()
            and not path.stat().st_size
            and (path.stem != "dev" or config.dev_queries)
        ):
            raise MissingDataError(f"{path}: holds no row: the input had none for it")


@dataclass(frozen=True)
class _TestSet:
    data: "BeirSet"
    split: str
    whole_corpus: bool

    @property
    def name(self) -> str:
        return self.data.name

    def queries(self) -> Iterator[str]:
        for _, query in self.data.judged_queries(self.split):
            yield query

    def documents(self) -> Iterator[str]:
        relevant = {
            doc_id
            for grades in self.data.qrels(self.split).values()
            for doc_id, grade in grades.items()
            if grade > 0
        }
        for doc_id, title, text in self.data.passages():
            if self.whole_corpus or doc_id in relevant:
                yield text
                if title:
                    yield f"{title} {text}"
