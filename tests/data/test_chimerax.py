"""The ChimeraX script: every command and option is one that ChimeraX knows, and the files are there."""

import re
from pathlib import Path

import pytest

from napari_sbackprop.data.chimerax import write_series
from napari_sbackprop.errors import InputError

SYNTAX = {
    "open": r'("[^"]+" )+vseries true',
    "volume": r"#1 style surface step 1 level \S+",
    "color": r"#1 [a-z]+",
    "view": "",
    "vseries": r"play #1 direction (forward|backward|oscillate) loop (true|false) maxFrameRate \d+ cacheFrames \d+",
}
"""Of the commands in use, after their pages in the ChimeraX User Guide."""


def test_every_line_is_a_command_that_chimerax_knows(tmp_path: Path) -> None:
    maps = [tmp_path / "maps of state" / f"volume_{number:03d}.mrc" for number in range(12)]
    write_series(tmp_path / "volumes.cxc", maps, 0.012345678)
    lines = (tmp_path / "volumes.cxc").read_text().splitlines()
    commands = [line.partition(" ")[::2] for line in lines if not line.startswith("#")]
    assert [name for name, _ in commands] == list(SYNTAX)
    for name, rest in commands:
        assert re.fullmatch(SYNTAX[name], rest), f"{name} {rest}"


def test_the_maps_are_named_relative_to_the_script_and_in_their_order(tmp_path: Path) -> None:
    maps = [tmp_path / "b.mrc", tmp_path / "below" / "a.mrc"]
    write_series(tmp_path / "series.cxc", maps, 1.5)
    text = (tmp_path / "series.cxc").read_text()
    assert 'open "b.mrc" "below/a.mrc" vseries true' in text
    assert float(re.findall(r"level (\S+)", text)[0]) == 1.5


def test_an_existing_script_stays(tmp_path: Path) -> None:
    (tmp_path / "series.cxc").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_series(tmp_path / "series.cxc", [tmp_path / "a.mrc", tmp_path / "b.mrc"], 1.0)
    assert (tmp_path / "series.cxc").read_text() == "mine"
