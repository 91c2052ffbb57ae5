"""Rules of the code base: allowed imports between packages, file lengths, banned names."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "prism_cli"
MAX_LINES = 330
MAX_COMMAND_LINES = 60
EVERYWHERE = {"bundled", "errors", "generator_drivers", "version", "wording"}
# Package -> packages of prism that it may import. A name with a dot is one module.
MAY_IMPORT = {
    "app": {"commands", "reporting.sanitize", "terminal"},
    "__main__": {"app"},
    "bundled": set[str](),
    "errors": set[str](),
    "version": set[str](),
    "terminal": {"reporting.sanitize"},
    "wording": set[str](),
    "mteb": {"engine.progress_display", "reranker"},
    "query_texts": {"domain", "ports", "rows"},
    "ranking": {"domain", "ports", "query_texts", "rows"},
    "reranker": {"adapters.runtimes", "domain", "ports", "ranking", "rows"},
    "ports": {"rows"},
    "batch_ports": {"ports"},
    "generator_drivers": set[str](),
    "commands": {
        "commands", "configs", "engine", "stages", "shards", "rows", "ports", "domain", "training",
        "modeling", "evaluation", "exporting", "reporting", "quickstart", "adapters.datasets",
        "reranker", "files", "terminal", "serving", "spreads",
    },
    "configs": {"configs", "files", "domain.defaults", "domain.fusion", "domain.scoring"},
    "files": {"files"},
    "rows": {"rows", "files"},
    "shards": {"shards", "files", "rows", "ports", "domain.near_duplicates"},
    "engine": {
        "batch_ports", "engine", "files.names", "files.urls", "rows", "shards", "ports",
        "reporting.sanitize", "terminal",
    },
    "spreads": {
        "engine", "files.urls", "reporting.sanitize", "shards.lock", "shards.manifest",
        "shards.shard", "shards.timestamps", "spreads", "terminal", "version",
    },
    "stages": {
        "engine.stage", "engine.survey", "files", "rows", "domain", "ports", "shards",
        "stages.retries", "stages.sample_survey", "stages.split_survey", "stages.split_texts",
        "stages.rerank", "stages.rerank_query", "stages.pair_filter",
        "stages.pair_answers", "stages.known_votes", "stages.panel_stopping",
        "stages.silent_judges", "ranking", "reranker",
    },
    "domain": {"domain", "rows"},
    "training": {"training", "modeling", "domain", "rows", "shards", "ports", "configs"},
    "modeling": {"modeling", "domain", "files.digest", "rows", "shards"},
    "evaluation": {
        "evaluation", "domain", "engine", "files", "rows", "shards", "ports", "stages",
        "adapters", "reporting",
    },
    "exporting": {
        "exporting", "modeling", "domain", "shards", "evaluation.metrics_file", "adapters.runtimes",
        "adapters.datasets", "reporting.figures",
    },
    "reporting": {"reporting", "domain"},
    "quickstart": {"quickstart", "reporting.figures"},
    "serving": {
        "serving", "ports", "ranking", "query_texts", "domain", "rows", "reporting.colours",
        "reporting.sanitize",
    },
    "adapters": {
        "adapters", "batch_ports", "configs.providers", "files", "ports", "rows", "domain",
        "modeling", "shards",
    },
}  # fmt: skip
DOORS = {
    "app.py",
    "serving/app.py",
    "serving/engine_queue.py",
    "serving/model_queue.py",
    "serving/service.py",
}
"""Files that may catch every exception: of a command, of a request, of a model."""
STDLIB = sys.stdlib_module_names
# Packages that may import only the standard library, and these, at module level.
PLAIN = {
    "app": {"typer"},
    "commands": {"typer", "rich"},
    "configs": {"annotated_types", "pydantic"},
    "domain": set[str](),
    "engine": {"orjson", "rich"},
    "errors": set[str](),
    "files": {"zstandard"},
    "mteb": set[str](),
    "batch_ports": set[str](),
    "ports": set[str](),
    "query_texts": set[str](),
    "ranking": set[str](),
    "reranker": set[str](),
    "quickstart": {"orjson", "rich"},
    "reporting": set[str](),
    "rows": {"orjson"},
    "terminal": set[str](),
    "wording": set[str](),
    "shards": {"orjson", "zstandard"},
    "spreads": set[str](),
    "stages": {"orjson"},
}
# Modules that compute with arrays alone; stages import them that need them for each row.
WITH_NUMPY = {
    "domain/mixture.py", "domain/near_duplicates.py", "domain/rating_agreement.py",
    "domain/smallest_keys.py", "domain/split_plan.py", "shards/text_groups.py",
    "shards/text_tables.py", "stages/split_survey.py", "stages/split_texts.py",
}  # fmt: skip


def files() -> list[Path]:
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 30
    return paths


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Return line and full dotted name of every import, including type checking."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import at line {node.lineno}"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def at_module_level(tree: ast.Module) -> ast.Module:
    """Return the code that runs on import, without functions and type checking."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else node

    stripped: ast.Module = Strip().visit(tree)
    return stripped


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_import_only_what_the_table_allows(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    allowed = MAY_IMPORT[room] | EVERYWHERE
    wrong = []
    for line, name in imports(ast.parse(path.read_text())):
        if not name.startswith("prism_cli."):
            continue
        parts = name.split(".")
        target = parts[1] if len(parts) > 1 else "__init__"
        if room == "commands" and target == "adapters" and path.name.endswith("wiring.py"):
            continue
        if target not in allowed and ".".join(parts[1:3]) not in allowed:
            wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert wrong == []


def test_no_import_circle() -> None:
    """No circle on import, inside functions, or for type checking."""
    modules = {".".join(("prism_cli", *path.relative_to(PACKAGE).with_suffix("").parts)): path
               for path in files()}  # fmt: skip
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = TopologicalSorter[str]()
    for name, path in modules.items():
        for _, full in imports(ast.parse(path.read_text())):
            target = full if full in modules else full.rpartition(".")[0]
            if target in modules and target != name:
                graph.add(name, target)
    graph.prepare()  # raises CycleError


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_are_imported_only_in_their_packages(path: Path) -> None:
    room = room_of(path)
    if room not in PLAIN:
        return
    outside = {
        name.partition(".")[0] for _, name in imports(at_module_level(ast.parse(path.read_text())))
    }
    allowed = {"numpy"} if str(path.relative_to(PACKAGE)) in WITH_NUMPY else set[str]()
    assert outside - STDLIB - {"prism_cli"} <= PLAIN[room] | allowed


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_are_short_and_errors_are_named(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    assert not re.search(r"/work\b|scratch/", text)
    if str(path.relative_to(PACKAGE)) in DOORS:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            broad = {"everything", "Exception", "BaseException"} & set(re.findall(r"\w+", caught))
            assert not broad, f"{path}:{node.lineno}: catches {caught}"


def command_lines(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and lines of each function, without its signature and docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1 if ast.get_docstring(node) else 0 :]
            if body:
                yield node.name, body[-1].end_lineno - body[0].lineno + 1  # type: ignore[operator]


@pytest.mark.parametrize("path", sorted((PACKAGE / "commands").glob("*.py")), ids=lambda p: p.stem)
def test_commands_are_short(path: Path) -> None:
    lines = dict(command_lines(ast.parse(path.read_text())))
    assert {name: count for name, count in lines.items() if count > MAX_COMMAND_LINES} == {}


def test_lines_of_a_command_are_those_of_its_body() -> None:
    tree = ast.parse('def f(\n    x\n):\n    """Text."""\n\n    a = 1\n\n    return a\n')
    assert dict(command_lines(tree)) == {"f": 3}


def test_every_package_is_in_the_table() -> None:
    assert {room_of(path) for path in files()} - {"__init__"} <= MAY_IMPORT.keys()


def test_a_forbidden_import_is_detected() -> None:
    names = [name for _, name in imports(ast.parse("def f():\n    from prism_cli.engine import x"))]
    assert names == ["prism_cli.engine.x"]
    assert "engine" not in MAY_IMPORT["domain"]


def test_help_loads_nothing_slow() -> None:
    code = (
        "import sys; sys.argv = ['prism', '--help']\n"
        "from prism_cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "slow = {'torch', 'transformers', 'numpy', 'scipy', 'datasets', 'pydantic', 'orjson',\n"
        "        'asyncio', 'sqlite3', 'matplotlib', 'bm25s'} & sys.modules.keys()\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Example: prism" in done.stdout


def test_a_first_stage_alone_is_measured_without_torch() -> None:
    code = (
        "import sys\nimport prism_cli.evaluation.ranking.evaluate\n"
        "assert 'torch' not in sys.modules\nassert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
