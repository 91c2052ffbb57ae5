"""Settings of `prism eval answers`."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from annotated_types import Interval

from prism_cli.configs.base import BeforeValidation, Option, StageConfig
from prism_cli.configs.shared import Device, Gold, Texts, as_names

Context = Literal["nothing", "documents", "evidence", "contributions", "closest", "lead"]


@dataclass(frozen=True, kw_only=True)
class EvalAnswersConfig(StageConfig):
    """The reader, the texts that it reads, and the answers of people."""

    reader: Annotated[
        str | None,
        Option(
            "Model that answers the queries: provider/model, or hf:smollm2, hf:PATH in this "
            "process; required."
        ),
    ] = None
    gold: Gold = field(default_factory=list)
    contexts: Annotated[
        list[Context] | None,
        BeforeValidation(as_names),
        Option(
            "What the reader answers from: nothing, documents, evidence, contributions, closest "
            "(the documents' sentences closest to the query, at the length of the evidence), lead "
            "(their first ones at that length); separated by commas.",
            comma_separated=True,
            default="all",
        ),
    ] = None
    documents: Annotated[
        int, Interval(ge=1, le=100), Option("Documents of a query that are read, best first.")
    ] = 3
    verdict: Annotated[
        Literal["yes", "any"],
        Option("Documents that are read: with the verdict yes, or any."),
    ] = "yes"
    texts: Texts = "auto"
    device: Device = "auto"

    @property
    def chosen_contexts(self) -> tuple[str, ...]:
        """Contexts that are read."""
        return tuple(self.contexts or get_args(Context))
