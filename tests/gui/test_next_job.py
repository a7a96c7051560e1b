"""What people are told to do with an exported file."""

from pathlib import Path

from napari_sbackprop.gui.next_job import next_job


def test_each_format_has_a_job_of_its_program(tmp_path: Path) -> None:
    assert "RELION: 3D auto-refine" in next_job(Path("state.star"))
    assert "Subset selection by rlnClassNumber" in next_job(Path("classes.star"), classes=True)
    assert "as the reference map" in next_job(Path("map.mrc"))
    assert next_job(Path("movie.mp4")) == ""
    rows = tmp_path / "state.cs"
    assert "Import Particle Stack" in next_job(rows)
    rows.with_suffix(".csg").touch()  # lists the rows with their passthrough files
    assert "Import Result Group" in next_job(rows)
