"""The part of a card that tells how the model was trained, from its run's manifest."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from prism_cli.domain.dev_figures import figures_in_words
from prism_cli.exporting.markdown import block, code, plain, table
from prism_cli.exporting.source import Source


def training_part(source: Source) -> str:
    """Recipe, data, decontamination and dev figures."""
    if source.manifest is None:
        return (
            "## Training\n\nUnknown: the model was not exported from a `prism train` run, so "
            "nothing is known of its training here."
        )
    return "\n\n".join(("## Training", *_parts(source, source.manifest)))


def _parts(source: Source, manifest: Mapping[str, Any]) -> Iterator[str]:
    counts, figures = manifest["counts"], manifest["figures"]
    if "steps" in figures:
        yield (
            f"{figures['steps']:,} optimizer steps, {figures['draws']:,} draws of rows, "
            f"{manifest['seconds']:,.0f} s."
        )
    yield table(
        ("rows", "file", "bytes", "SHA-256"),
        [
            [role, code(Path(one["path"]).name), f"{one['bytes']:,}", code(one["sha256"])]
            for role, files in (("train", manifest["inputs"]), ("dev", manifest["dependencies"]))
            for one in files
        ],
    )
    if counts:
        yield (
            f"{counts['rows']:,} training rows: {counts['pointwise']:,} with the pointwise "
            f"objective, {counts['sft']:,} with the text objective; {counts['truncated']:,} "
            f"documents cut, {counts['rejected']:,} lines rejected, "
            f"{sum(counts['dropped'].values()):,} rows dropped."
        )
    yield _clear(figures.get("decontamination"))
    for name in ("dev", "best"):
        if figures.get(name):
            what = "Dev rows at the end" if name == "dev" else "Dev rows at the best step"
            chosen = " (these weights)" if source.path.name == _FOLDER[name] else ""
            yield f"{what}{chosen}: {plain(figures_in_words(figures[name]))}."
    yield "The settings:"
    yield block(tomlkit.dumps(_settings(manifest["config"])).strip(), "toml")


_FOLDER = {"dev": "last", "best": "best"}


def collapsed(source: Source) -> str | None:
    """Why these weights may have collapsed, by the run that trained them."""
    figures = source.manifest["figures"] if source.manifest else {}
    own = next((name for name, folder in _FOLDER.items() if folder == source.path.name), "")
    told = (figures.get(own) or {}).get("collapsed")
    return f"dev rows: {told}" if told else None


def _clear(said: Mapping[str, Any] | None) -> str:
    if said is None:
        return "Decontamination: unknown, for the run was not finished."
    lines = []
    for file, one in said.items():
        names = one and one["kept clear of"]
        names = ", ".join(map(str, names)) if isinstance(names, list) else names
        lines.append(
            f"- {code(Path(file).name)}: kept clear of {plain(names)}"
            if names
            else f"- {code(Path(file).name)}: not kept clear of any evaluation set"
        )
    return "Decontamination, by `prism split`:\n\n" + "\n".join(lines)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Less what TOML cannot say (no value) and where the base lay on that machine."""
    kept = {
        name: _settings(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if value is not None and value != {}
    }
    model = kept.get("model")
    if isinstance(model, str) and Path(model).is_absolute():
        kept["model"] = Path(model).name
    return kept
