"""`prism show`: reranked rows as rankings that people read, with the cited sentences marked."""

from typing import TYPE_CHECKING, Annotated

import typer

from prism_cli.commands.options import Inputs

if TYPE_CHECKING:
    from prism_cli.rows.best_documents import BestDocuments

app = typer.Typer(
    add_completion=False,
    epilog="Example: prism show reranked.jsonl --query-id q7 --top-n 3",
)


@app.command()
def show(
    inputs: Inputs,
    query_id: Annotated[
        list[str] | None,
        typer.Option(help="Only this query; repeatable.", show_default="the first queries"),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Most queries that are shown.")] = 1,
    top_n: Annotated[int, typer.Option(min=1, help="Best documents of each query.")] = 10,
) -> None:
    """Show what `prism rerank` wrote: score, verdict, contribution, evidence and its sources.

    Sentences of the document that the evidence cites are highlighted, on a terminal in colour,
    elsewhere between ⟦ and ⟧. Evidence that rests on nothing in the document is marked, too.
    """
    from prism_cli.commands.ranking_text import print_ranking

    rankings = _rankings(inputs, query_id or [], len(query_id or []) or queries, top_n)
    for number, ranking in enumerate(rankings):
        if number:
            print()
        print_ranking(ranking.query, ranking.ranked(), ranking.counts, ranking.model, cited=True)


def _rankings(
    inputs: list[str], query_ids: list[str], queries: int, top_n: int
) -> "list[BestDocuments]":
    """Return the best documents of the first `queries` queries, or of those with `query_ids`.

    Raises:
        UsageError: a row is no output of `prism rerank`, or no row has one of the ids.
    """
    from prism_cli.errors import RowError, UsageError
    from prism_cli.rows.best_documents import BestDocuments
    from prism_cli.rows.results import check_reranked
    from prism_cli.rows.row import query_id, query_key
    from prism_cli.shards.reader import read_rows

    rankings: dict[bytes, BestDocuments] = {}
    names: set[str] = set()
    for ref, row in read_rows(inputs):
        try:
            check_reranked(row)
        except RowError as error:
            raise UsageError(f"{ref}: {error}; rows come from prism rerank") from None
        name, key = query_id(row), query_key(row)
        if (query_ids and name not in query_ids) or (
            key not in rankings and len(rankings) == queries
        ):
            continue
        names.add(name)
        rankings.setdefault(key, BestDocuments(top_n)).add(row, 0)
    if missing := [name for name in query_ids if name not in names]:
        raise UsageError(f"--query-id {missing[0]}: no row of {', '.join(inputs)} has this query")
    return list(rankings.values())
