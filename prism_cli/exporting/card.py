"""The model card: README.md with the hub's front matter.

It states only facts from the run's manifest, its evaluations and this export; others are "unknown".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from prism_cli.domain.dev_figures import figures_in_words
from prism_cli.domain.metrics import MAIN_MEASURE
from prism_cli.exporting.evaluations import Evaluation
from prism_cli.exporting.layout import MINIMUM_SENTENCE_TRANSFORMERS
from prism_cli.exporting.markdown import block, code, plain
from prism_cli.exporting.serving import serve_line, write_line
from prism_cli.exporting.source import Source, without_directory
from prism_cli.modeling.encode import PromptEncoder
from prism_cli.reporting.figures import figures_of
from prism_cli.shards.manifest import Manifest
from prism_cli.version import __version__

_LOCAL_PATH = re.compile(
    r"((?:-[^-=]|[^=/~][^=]*=)*?(?:hf:|st:|file://(?:localhost)?)?)([/~].*)", re.DOTALL
)
"""A word of a command line: options, names and kind of a model; then an absolute path."""
_TEMPLATE = Path(__file__).with_name("card.md.jinja")


@dataclass(frozen=True)
class Facts:
    """The data of a model card."""

    source: Source
    encoder: PromptEncoder
    evaluations: list[Evaluation]
    manifest: Manifest


def model_card(facts: Facts) -> str:
    """Return the text of README.md."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "plain": plain,
        "code": code,
        "block": block,
        "file_name": _file_name,
        "local_name": _local_name,
    }
    run = facts.source.manifest
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        source=facts.source,
        encoder=facts.encoder,
        evaluations=facts.evaluations,
        config=facts.manifest.config,
        figures=facts.manifest.figures,
        run=run,
        trained=run["figures"] if run else {},
        settings=tomlkit.dumps(_settings(run["config"])).strip() if run else "",
        front_matter=_front_matter(facts.source),
        version=__version__,
        primary=MAIN_MEASURE,
        minimum_sentence_transformers=MINIMUM_SENTENCE_TRANSFORMERS,
        figures_in_words=figures_in_words,
        figures_of=figures_of,
        serve_line=serve_line,
        write_line=write_line,
    )


def _front_matter(source: Source) -> str:
    from huggingface_hub import ModelCardData

    data: Any = ModelCardData(
        base_model=source.hub_id,
        library_name="sentence-transformers",
        pipeline_tag="text-ranking",
        tags=["sentence-transformers", "cross-encoder", "reranker", "prism-reranker"],
    )
    return str(data.to_yaml())


def _file_name(path: str) -> str:
    return Path(path).name


def _local_name(word: str) -> str:
    """Return a word of a command line without the folders of this machine."""
    match = _LOCAL_PATH.fullmatch(word)
    return match[1] + Path(match[2]).name if match else word


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Omit empty values, which TOML lacks, and the directory of the base on that machine."""
    kept = {
        name: _settings(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if value is not None and value != {}
    }
    model = kept.get("model")
    return kept | ({"model": without_directory(model)} if isinstance(model, str) else {})
