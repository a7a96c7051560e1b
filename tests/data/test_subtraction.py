"""Subtracted particles become the original ones again, as RELION reverts them."""

import logging
import shutil
import subprocess

import numpy as np
import pytest
import starfile
from relion_project import Project, Table

from napari_sbackprop.data.mrc import write_stack
from napari_sbackprop.data.star import read_columns
from napari_sbackprop.data.subtraction import write_reverted
from napari_sbackprop.errors import InputError

ALL = np.arange(4)


def subtracted(project: Project, box: int) -> Table:
    """Four particles of which a stack of subtracted images is there too, `box` pixels wide."""
    (project.folder / "Subtract").mkdir()
    images = np.random.default_rng(1).normal(size=(4, box, box)).astype(np.float32)
    write_stack(project.folder / "Subtract" / "left.mrcs", images, pixel_size=2.0)
    table = project.particles()
    table["rlnImageOriginalName"] = table["rlnImageName"][::-1]
    table["rlnImageName"] = [f"{number:06d}@Subtract/left.mrcs" for number in (4, 2, 3, 1)]
    return table


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("relion_particle_subtract") is None, reason="RELION is not installed")
@pytest.mark.parametrize("box", [8, 6])
def test_relion_reverts_to_the_same_file(project: Project, box: int) -> None:
    optics = {**project.optics(2), "rlnImageSize": [box, box]}
    particles = {**subtracted(project, box), "rlnOpticsGroup": [1, 2, 2, 1]}
    star = project.write(particles, optics, "run_data.star")
    write_reverted(star, ALL, project.folder / "ours.star", star)
    command = ["relion_particle_subtract", "--revert", star.name, "--o", "relions_"]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ours, theirs = (starfile.read(project.folder / name) for name in ("ours.star", "relions_original.star"))
    for block in ("optics", "particles"):
        assert set(ours[block]) >= set(theirs[block])
        assert ours[block][list(theirs[block])].equals(
            theirs[block].astype(ours[block][list(theirs[block])].dtypes)
        )
    assert ours["optics"]["rlnImageSize"].tolist() == [8, 8]


def test_only_the_names_change(project: Project) -> None:
    star = project.write(subtracted(project, 8), project.optics())
    write_reverted(star, np.array([1, 3]), project.folder / "once.star", star)
    names = read_columns(project.folder / "once.star", ["rlnImageName", "rlnImageOriginalName"])
    assert names["rlnImageName"].tolist() == [f"{number:06d}@Extract/images.mrcs" for number in (3, 1)]
    assert names["rlnImageOriginalName"].tolist() == [f"{number:06d}@Subtract/left.mrcs" for number in (2, 1)]
    write_reverted(star, ALL, project.folder / "all.star", star)
    write_reverted(project.folder / "all.star", ALL, project.folder / "back.star", star)
    assert (project.folder / "back.star").read_bytes() == star.read_bytes()


def test_another_box_goes_into_the_optics_table_with_a_warning(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    star = project.write(subtracted(project, 6), {**project.optics(), "rlnImageSize": [6]})
    with caplog.at_level(logging.WARNING):
        write_reverted(star, ALL, project.folder / "out.star", star)
    assert starfile.read(project.folder / "out.star")["optics"]["rlnImageSize"].item() == 8
    assert "optics group 1 are 8 px wide before subtraction and 6 px after it" in caplog.text


def test_a_table_without_groups_has_one(project: Project) -> None:
    particles = subtracted(project, 6)
    del particles["rlnOpticsGroup"]
    star = project.write(particles, {**project.optics(), "rlnImageSize": [6]})
    write_reverted(star, ALL, project.folder / "out.star", star)
    assert starfile.read(project.folder / "out.star")["optics"]["rlnImageSize"].item() == 8
    star = project.write(particles, project.optics(2), "two.star")
    with pytest.raises(InputError, match="has 2 optics groups, but no column rlnOpticsGroup"):
        write_reverted(star, ALL, project.folder / "other.star", star)


def test_groups_of_which_nothing_is_chosen_need_no_images(project: Project) -> None:
    particles = {**subtracted(project, 6), "rlnOpticsGroup": [1, 2, 2, 1]}
    names = particles["rlnImageOriginalName"]
    particles["rlnImageOriginalName"] = [
        str(name).replace("Extract", "Gone") if group == 1 else name
        for name, group in zip(names, particles["rlnOpticsGroup"], strict=True)
    ]
    star = project.write(particles, {**project.optics(2), "rlnImageSize": [6, 6]})
    write_reverted(star, np.array([1, 2]), project.folder / "out.star", star)
    assert starfile.read(project.folder / "out.star")["optics"]["rlnImageSize"].tolist() == [6, 8]
    with pytest.raises(InputError, match="names Gone/images"):
        write_reverted(star, ALL, project.folder / "all.star", star)


def test_what_cannot_be_reverted_is_refused(project: Project) -> None:
    output = project.folder / "out.star"
    star = project.write(project.particles(), project.optics())
    with pytest.raises(InputError, match="has no rlnImageOriginalName, so its images were not subtracted"):
        write_reverted(star, ALL, output, star)
    star = project.write(subtracted(project, 8), project.optics())
    (project.folder / "Extract" / "images.mrcs").rename(project.folder / "Extract" / "moved.mrcs")
    with pytest.raises(
        InputError, match=r"names Extract/images\.mrcs as an image before subtraction, but it is not"
    ):
        write_reverted(star, ALL, output, star)
    (project.folder / "New").mkdir()
    shutil.move(project.folder / "Extract" / "moved.mrcs", project.folder / "New" / "images.mrcs")
    write_reverted(star, ALL, output, star, [("Extract", str(project.folder / "New"))])
    assert output.is_file()
