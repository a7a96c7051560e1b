"""A ChimeraX script that opens maps as a series. Syntax: ChimeraX User Guide, commands open, volume, color and vseries."""

from collections.abc import Sequence
from pathlib import Path

from napari_sbackprop.data.output_file import new_file

_COLOUR = "cornflowerblue"
_FRAMES_PER_SECOND = 5


def write_series(path: Path, maps: Sequence[Path], level: float) -> None:
    """Write a .cxc script that shows maps in turn.

    The maps are named relative to the script, as ChimeraX runs a script in the script's folder: the folder may be moved.

    Parameters
    ----------
    path : new script; an existing one is refused.
    maps : in the order of the series; they lie in the script's folder or below it, and have one box.
    level : contour of all maps alike, in map units.
    """
    names = " ".join(f'"{file.relative_to(path.parent).as_posix()}"' for file in maps)
    lines = [
        f"# {len(maps)} maps as a series, all at one contour level. Open this file in an empty ChimeraX session.",
        "# The slider below the maps steps through them; vseries stop #1 stops the movie.",
        f"open {names} vseries true",
        f"volume #1 style surface step 1 level {level:.6g}",
        f"color #1 {_COLOUR}",
        "view",
        f"vseries play #1 direction oscillate loop true maxFrameRate {_FRAMES_PER_SECOND} cacheFrames {len(maps)}",
    ]
    with new_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
