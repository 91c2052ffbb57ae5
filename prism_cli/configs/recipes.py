"""The recipes that come with prism: TOML files by stage and name."""

import difflib
from pathlib import Path

from prism_cli.errors import MissingDataError


def recipes_root() -> Path:
    """The folder of the shipped recipes: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe: STAGE/NAME -> file."""
    root = recipes_root()
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(root.glob("*/*.toml"))}


def find_recipe(stage: str, recipe: str) -> Path:
    """The file of a recipe.

    Args:
        stage: the stage that asks.
        recipe: a path, STAGE/NAME, or NAME.

    Raises:
        MissingDataError: nothing of that name; tells those that exist.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    shipped = shipped_recipes()
    for name in (recipe, f"{stage}/{recipe}"):
        if name in shipped:
            return shipped[name]
    own = [name.partition("/")[2] for name in shipped if name.startswith(f"{stage}/")]
    known = f"recipes of {stage}: {', '.join(own)}" if own else f"{stage} has no shipped recipes"
    near = difflib.get_close_matches(recipe, own, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise MissingDataError(f"{recipe}: no such recipe or file; {meant}{known}")
