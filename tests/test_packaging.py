"""What is shipped, what it asks for, and what must not be in it."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from napari_sbackprop import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MANIFEST = ROOT / "napari_sbackprop" / "napari.yaml"


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", item)[0].lower() for item in requirements}


def test_base_installation_brings_no_window() -> None:
    assert not names(PROJECT["project"]["dependencies"]) & {
        "napari",
        "qtpy",
        "pyqt5",
        "pyqt6",
        "vispy",
        "magicgui",
    }


def test_building_needs_neither_torch_nor_a_compiler() -> None:
    assert names(PROJECT["build-system"]["requires"]) == {"hatchling"}


def test_qt_binding_comes_with_its_own_extra_only() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert not names(extras["napari"]) & {"pyqt5", "pyqt6"}
    assert any(item.startswith("napari[pyqt6]") for item in extras["pyqt6"])


def test_all_direct_dependencies_are_pinned_for_the_tests() -> None:
    pinned = names((ROOT / "constraints.txt").read_text().splitlines())
    project = PROJECT["project"]
    wanted = names(project["dependencies"]).union(*map(names, project["optional-dependencies"].values()))
    wanted |= {"pytest", "pytest-qt", "pytest-xvfb", "ruff", "mypy", "hypothesis"}
    assert wanted - {project["name"]} <= pinned


def test_changelog_knows_this_version_or_the_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {__version__}" in text


def test_files_name_no_package_index() -> None:
    """Where packages come from is the business of whoever installs."""
    for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", ".ci/system-packages"):
        assert not re.search(
            r"index[-_]url|find[-_]links|https?://\S*(pypi|simple|whl)", (ROOT / name).read_text()
        ), name


def test_make_has_the_promised_targets() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"setup", "demo", "test", "lint", "bench", "oracle"} <= targets


def test_pictures_and_pages_that_are_linked_exist() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name} links to {target}"


def test_readme_follows_the_headings_of_the_napari_hub() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert sum(line.startswith("# ") and "make" not in line for line in lines) == 1
    wanted = [
        "Overview",
        "Installation",
        "Quick start",
        "Usage",
        "Sample data",
        "Command line",
        "Citation",
        "License",
    ]
    assert [line[3:] for line in lines if line.startswith("## ") and line[3:] in wanted] == wanted


@pytest.mark.skipif(find_spec("npe2") is None, reason="napari is not installed")
def test_manifest_is_valid_and_every_command_can_be_imported() -> None:
    from npe2 import PluginManifest
    from npe2.manifest.utils import import_python_name

    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.name == PROJECT["project"]["name"]
    for command in manifest.contributions.commands or []:
        assert command.id.startswith(f"{manifest.name}.")
        assert callable(import_python_name(command.python_name))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed")
def test_wheel_carries_sources_and_manifest_but_no_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for source in [path for path in (ROOT / "csrc").rglob("*") if path.is_file()]:
        assert f"napari_sbackprop/csrc/{source.relative_to(ROOT / 'csrc').as_posix()}" in inside
    assert {
        "napari_sbackprop/napari.yaml",
        "napari_sbackprop/py.typed",
        "napari_sbackprop/cli/__init__.py",
    } <= inside
    assert not any(name.startswith("tests/") for name in inside)
    metadata = next(name for name in inside if name.endswith("entry_points.txt"))
    assert "napari-sbackprop = napari_sbackprop:napari.yaml" in zipfile.ZipFile(wheel).read(metadata).decode()
