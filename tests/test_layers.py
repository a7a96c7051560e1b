"""Imports point downwards, and what is light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "napari_sbackprop"

LAYERS = (
    {"cli", "gui"},
    {"training", "analysis"},
    {"models", "data", "run_directory"},
    {"ops", "imaging", "config"},
    {"errors"},
)
"""From the top. A part imports from lower layers and from itself, not from its neighbours."""

EXCEPTIONS = {
    ("cli", "gui"),  # the command explore opens the window
    ("ops", "imaging"),  # the operations are defined on imaging's grids
    ("__main__", "cli"),
}
PLAIN = {"training.progress"}
"""Types that name what happens, without torch: whoever shows progress may import them."""


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(PACKAGE).with_suffix("").parts), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def own_imports(path: Path) -> set[str]:
    """Modules of the package that a file imports anywhere, relative to the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == PACKAGE.name)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    prefix = f"{PACKAGE.name}."
    return {name.removeprefix(prefix) for name in found if name.startswith(prefix)}


def layer(part: str) -> int | None:
    return next((level for level, parts in enumerate(LAYERS) if part in parts), None)


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_point_downwards(module: str, path: Path) -> None:
    part = module.split(".")[0]
    for name in own_imports(path):
        other = name.split(".")[0]
        if other == part or name in PLAIN or (part, other) in EXCEPTIONS or layer(other) is None:
            continue
        assert layer(part) is not None, f"{module} belongs to no layer: add it to LAYERS"
        assert layer(part) < layer(other), f"{module} imports {name}, which is not below it"


def imported_by(statement: str) -> set[str]:
    """Top-level packages in memory after a statement, in a fresh interpreter."""
    code = f"{statement}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


WINDOWS = {"napari", "qtpy", "PyQt5", "PyQt6", "vispy", "magicgui"}
FILES = {"mrcfile", "starfile", "pandas"}


@pytest.mark.parametrize("part", ["imaging", "ops", "models"])
def test_numerics_import_neither_files_nor_windows(part: str) -> None:
    names = [name for name, _ in modules() if name.startswith(f"{part}.") and not name.endswith("__init__")]
    loaded = imported_by("\n".join(f"import napari_sbackprop.{name}" for name in names))
    assert "torch" in loaded
    assert not loaded & (WINDOWS | FILES | {"umap", "sklearn"})


def test_training_imports_where_nothing_reads_files() -> None:
    """A GPU machine may have torch and numpy, and nothing else that we depend on."""
    parts = ("imaging.", "ops.", "models.", "training.")
    names = [name for name, _ in modules() if name.startswith(parts) and not name.endswith("__init__")]
    missing = WINDOWS | FILES | {"umap", "sklearn", "scipy", "shapely", "safetensors", "rich", "typer"}
    absent = f"import sys; sys.modules.update(dict.fromkeys({sorted(missing)}))"
    loaded = imported_by("\n".join([absent, *(f"import napari_sbackprop.{name}" for name in names)]))
    assert "torch" in loaded


@pytest.mark.parametrize("part", ["data", "training", "analysis"])
def test_workflows_import_no_window(part: str) -> None:
    names = [name for name, _ in modules() if name.startswith(f"{part}.") and not name.endswith("__init__")]
    loaded = imported_by("\n".join(f"import napari_sbackprop.{name}" for name in names))
    assert not loaded & (WINDOWS | {"umap"})


@pytest.mark.parametrize("module", ["napari_sbackprop", "napari_sbackprop.cli", "napari_sbackprop.config"])
def test_starting_imports_nothing_heavy(module: str) -> None:
    assert not imported_by(f"import {module}") & (WINDOWS | FILES | {"torch", "umap", "sklearn", "scipy"})


def test_functions_and_files_stay_short() -> None:
    """Bodies under 60 lines without their docstring, files under 400."""
    for module, path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{module} is longer than 400 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 60, f"{module}.{node.name} has a body of {length} lines"
