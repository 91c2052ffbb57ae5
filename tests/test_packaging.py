"""Content of the wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_wheel_holds_recipes_samples_help_and_licence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*.toml")}
    samples = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "prism_cli" / "samples").rglob("*")
        if path.is_file()
    }
    help_topics = {f"prism_cli/help/{path.name}" for path in (ROOT / "prism_cli/help").glob("*.md")}
    assert len(recipes) >= 7
    assert len(help_topics) >= 11
    assert len(samples) >= 8
    assert {f"prism_cli/{name}" for name in recipes} <= names
    assert samples | help_topics <= names
    assert "prism_cli/recipes/pipeline.sh" in names
    assert {"prism_cli/reporting/page.css", "prism_cli/reporting/page.html.jinja"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith("tests/") for name in names)
