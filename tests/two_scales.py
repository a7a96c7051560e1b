"""Simulated particles in two optics groups that differ in box and pixel size."""

from pathlib import Path

import pandas as pd
import starfile

from napari_sbackprop.data.simulation import simulate

SCALES = ((44, 6.0), (36, 8.0))
"""Box and angstrom per pixel of the groups; their images are not equally wide."""
COUNT = 300
"""Particles of each group, those of the first group first."""


def simulate_two_scales(folder: Path, states: int, snr: tuple[float, float]) -> Path:
    """Write particles at each scale, with a signal-to-noise ratio of their own; returns the STAR file."""
    tables = []
    for number, ((box, pixel_size), ratio) in enumerate(zip(SCALES, snr, strict=True), 1):
        star = simulate(
            folder / f"set{number}", states, COUNT, box=box, pixel_size=pixel_size, snr=ratio, seed=number
        )
        table = starfile.read(star)
        table["optics"]["rlnOpticsGroup"] = table["particles"]["rlnOpticsGroup"] = number
        names = table["particles"]["rlnImageName"].str.replace("@", f"@set{number}/")
        table["particles"]["rlnImageName"] = names
        tables.append(table)
    both = {name: pd.concat([table[name] for table in tables]) for name in ("optics", "particles")}
    starfile.write(both, folder / "both.star")
    return folder / "both.star"
