"""Which job of RELION or cryoSPARC takes an exported file."""

from pathlib import Path

_JOBS = {
    ".star": "Next, in RELION: 3D auto-refine with local searches, or 3D classification, of this file.",
    ".cs": "Next, in cryoSPARC: Import Result Group with the .csg file, then Local Refinement.",
    ".mrc": "Next: ChimeraX, or RELION's 3D auto-refine as the reference map.",
}
_CLASSES = "Next, in RELION: Subset selection by rlnClassNumber."


def next_job(path: Path, classes: bool = False) -> str:
    """A sentence for a file by its ending; `classes` where rlnClassNumber is what it is for."""
    if classes:
        return _CLASSES
    if path.suffix == ".cs" and not path.with_suffix(".csg").is_file():
        return "Next, in cryoSPARC: Import Particle Stack."
    return _JOBS.get(path.suffix, "")
