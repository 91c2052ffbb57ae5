"""Shipped recipes: TOML files by stage and name."""

from pathlib import Path

from prism_cli.errors import MissingDataError
from prism_cli.wording import did_you_mean


def recipes_root() -> Path:
    """Return the folder of the shipped recipes: in an installed package, or beside a checkout's."""
    package = Path(__file__).parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Every shipped recipe: STAGE/NAME -> file."""
    root = recipes_root()
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(root.glob("*/*.toml"))}


def shipped_files() -> dict[str, Path]:
    """Every other shipped file, scripts and configurations: path below the folder -> file."""
    root, recipes = recipes_root(), set(shipped_recipes().values())
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path not in recipes]
    return {path.relative_to(root).as_posix(): path for path in files if path.suffix != ".pyc"}


def find_recipe(stage: str, recipe: str) -> Path:
    """Return the file of a recipe.

    Args:
        stage: stage of the command.
        recipe: a path, STAGE/NAME, or NAME.

    Raises:
        MissingDataError: there is no such recipe; the message lists the existing ones.
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
    hint = " ".join(filter(None, [did_you_mean(recipe, own), known]))
    raise MissingDataError(f"{recipe}: no such recipe or file; {hint}")
