"""Registry of the shapes, and a reader that detects a row's shape by its fields."""

from collections.abc import Callable
from dataclasses import dataclass

from prism_cli.adapters.shapes.author import NAMES, AuthorReader, AuthorWriter
from prism_cli.adapters.shapes.base import Reader, ShapeSettings, Writer
from prism_cli.adapters.shapes.beir_writer import BeirWriter, no_reader
from prism_cli.adapters.shapes.cohere import CohereReader, CohereWriter
from prism_cli.adapters.shapes.flagembedding import FlagEmbeddingReader, FlagEmbeddingWriter
from prism_cli.adapters.shapes.sentence_transformers import (
    PairWriter,
    ScoredReader,
    ScoredWriter,
    TripletReader,
    TripletWriter,
)
from prism_cli.adapters.shapes.trec import QrelsReader, RunReader
from prism_cli.adapters.shapes.trec_writers import QrelsWriter, RunWriter
from prism_cli.errors import RowError, UsageError
from prism_cli.rows.row import Dropped, Row, string_field
from prism_cli.wording import did_you_mean


@dataclass(frozen=True)
class Shape:
    """Reader and writer of one shape."""

    reader: Callable[[ShapeSettings], Reader]
    writer: Callable[[ShapeSettings], Writer]


SHAPES = {
    "prism": Shape(lambda _: Reader(), Writer),
    "flagembedding": Shape(FlagEmbeddingReader, FlagEmbeddingWriter),
    "author": Shape(lambda _: AuthorReader(), AuthorWriter),
    "st-pairs": Shape(lambda _: TripletReader(), PairWriter),
    "st-triplets": Shape(lambda _: TripletReader(), TripletWriter),
    "st-scores": Shape(ScoredReader, ScoredWriter),
    "cohere": Shape(lambda _: CohereReader(), CohereWriter),
    "trec-run": Shape(RunReader, RunWriter),
    "trec-qrels": Shape(QrelsReader, QrelsWriter),
}
FOLDERS = {"beir": Shape(no_reader, BeirWriter)}
"""Shapes of several files; they can only be written."""
ALIASES = {"kalm": "flagembedding"}


def find_shape(option: str, name: str) -> Shape:
    """Return the shape called `name`.

    Args:
        option: the option with this value, for the message.

    Raises:
        UsageError: there is no such shape; names the most similar one.
    """
    shapes = SHAPES | FOLDERS
    names = [*shapes, *ALIASES]
    shape = shapes.get(ALIASES.get(name, name))
    if shape is None:
        hint = " ".join(filter(None, [did_you_mean(name, names), "expected one of"]))
        raise UsageError(f"{option} {name}: no such shape; {hint} {', '.join(names)}")
    return shape


class RecognisingReader(Reader):
    """Reads rows of all shapes that can be detected by their fields.

    Args:
        keep_pairs: rows with a document are prism's, whatever other fields they have.
    """

    def __init__(self, settings: ShapeSettings, *, keep_pairs: bool = False) -> None:
        self._keep_pairs = keep_pairs
        self._readers = {
            name: SHAPES[name].reader(settings)
            for name in ("prism", "flagembedding", "author", "cohere")
        }

    def read(self, row: Row) -> Row | list[Row] | Dropped:
        """Read the row with the reader of its shape."""
        foreign = row.keys() & {"pos", "neg", "documents"} and "document" not in row
        shape = "prism" if self._keep_pairs and not foreign else _shape_of(row)
        return self._readers[shape].read(row)


def _shape_of(row: Row) -> str:
    if "pos" in row or "neg" in row:
        return "flagembedding"
    if "documents" in row:
        return "cohere"
    if "document" in row:
        return "author" if NAMES.keys() & row.keys() else "prism"
    string_field(row, "query", blank=False)
    raise RowError(
        "pos",
        "expected pos and neg (lists of documents), documents, or document; found none of them",
    )
