"""Aberrations of optics groups against RELION's own predictions, which relion_particle_subtract takes from images."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
import torch
from prediction import predict, relative_error
from torch import Tensor

from napari_sbackprop.analysis.validation import state_fsc
from napari_sbackprop.data.loader import read_images
from napari_sbackprop.data.mrc import read_volume, write_stack, write_volume
from napari_sbackprop.data.particles import Particles
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.imaging.fourier import disc_to_images, images_to_disc, resample_volumes
from napari_sbackprop.imaging.grids import half_disc
from napari_sbackprop.training.image_model import image_phase

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("relion_particle_subtract") is None, reason="RELION is not installed"),
]

BOX, PIXEL_SIZE = 48, 5.4
RADIUS = BOX // 2 - 2
# Strong enough to be loud at 10 angstrom; two groups that differ.
ABERRATIONS = {
    "none": {},
    "beam tilt": {"rlnBeamTiltX": [20.0, -15.0], "rlnBeamTiltY": [-10.0, 18.0]},
    "odd Zernikes": {"rlnOddZernike": ["[0,0,800,1000,-900,700]", "[0,3.5,-500,0,300,400]"]},
    "even Zernikes": {"rlnEvenZernike": ["[0.2,20,-40,30,600,-9000,2000,0,4000]", "[0.1,0,0,0,0,0,12000]"]},
    "magnification": {
        "rlnMagMat00": [1.02, 0.97],
        "rlnMagMat01": [0.01, 0.02],
        "rlnMagMat10": [-0.005, 0.015],
        "rlnMagMat11": [0.98, 1.01],
        "rlnBeamTiltX": [20.0, -15.0],
        "rlnBeamTiltY": [-10.0, 18.0],
        "rlnEvenZernike": ["[0,0,0,0,600,-9000,2000,0,4000]", "[0,0,0,0,0,0,12000]"],
    },
    "beam tilt and Zernikes": {
        "rlnBeamTiltX": [20.0, 0.0],
        "rlnBeamTiltY": [-10.0, 0.0],
        "rlnOddZernike": ["[1,2,4000,1000,-900,-3000]", "[0,3.5,-5000,100,300,4000]"],
    },
}


def relion(folder: Path, *command: str) -> None:
    """Run one of RELION's programs in a folder; on failure show what it said."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"


def write_groups(source: Path, target: Path, columns: dict[str, list[object]]) -> Path:
    """Write a STAR file with its particles in two optics groups by turns, which have more columns."""
    tables = starfile.read(source)
    optics = pd.concat([tables["optics"]] * 2, ignore_index=True)
    optics = optics.assign(rlnOpticsGroup=[1, 2], rlnOpticsGroupName=["one", "two"], **columns)
    particles = tables["particles"]
    particles["rlnOpticsGroup"] = np.arange(len(particles)) % 2 + 1
    starfile.write({"optics": optics, "particles": particles}, target)
    return target


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a few particles, and an optimiser file of RELION's that has the true map for its reference."""
    folder = tmp_path_factory.mktemp("optics") / "set"
    simulate(folder, states=1, particles=16, box=BOX, pixel_size=PIXEL_SIZE, snr=1)
    write_volume(folder / "nothing.mrc", np.zeros((BOX, BOX, BOX), np.float32), PIXEL_SIZE)
    star = write_groups(folder / "particles.star", folder / "groups.star", {})
    relion(
        folder,
        *("relion_refine", "--i", star.name, "--ref", "truth/state_00.mrc", "--o", "./run", "--iter", "1"),
        *("--K", "1", "--ctf", "--skip_align", "--firstiter_cc", "--particle_diameter", "200", "--pad", "2"),
    )
    model = (folder / "run_it001_model.star").read_text()
    model = model.replace("run_it001_class001.mrc", "truth/state_00.mrc")
    for label, value in (("CurrentResolution", 2 * PIXEL_SIZE), ("CurrentImageSize", BOX)):
        model = re.sub(rf"(_rln{label}\s+)\S+", rf"\g<1>{value}", model)
    (folder / "run_it001_model.star").write_text(model)
    return folder


def relions_predictions(star: Path) -> list[Tensor]:
    """What relion_particle_subtract takes from each image, (n, M, M) for each optics group."""
    folder, name = star.parent, star.stem
    relion(
        folder,
        *("relion_particle_subtract", "--i", "run_it001_optimiser.star", "--data", star.name),
        *("--mask", "nothing.mrc", "--ignore_class", "--o", f"{name}/"),
    )
    rows = starfile.read(folder / name / "particles_subtracted.star")["particles"]
    names = starfile.read(star)["particles"]["rlnImageName"]
    particles, predictions = read_particles(star), []
    for index in range(len(particles.optics)):
        members = np.flatnonzero(particles.optics_index == index)
        images = read_images(particles, members)
        for image, member in zip(images, members, strict=True):
            left = rows["rlnImageName"][rows["rlnImageOriginalName"] == names[member]].item()
            number, stack = left.split("@")
            image -= mrcfile.read(folder / stack)[int(number) - 1]
        predictions.append(torch.from_numpy(images))
    return predictions


@pytest.mark.parametrize("name", ABERRATIONS)
def test_predictions_are_relions(project: Path, name: str) -> None:
    star = project / f"{name.replace(' ', '_')}.star"
    write_groups(project / "particles.star", star, ABERRATIONS[name])
    volume = torch.from_numpy(read_volume(project / "truth" / "state_00.mrc")[0])
    ours = predict(volume, read_particles(star), RADIUS, padding=2)
    images = torch.cat(relions_predictions(star))
    order = torch.cat([torch.arange(0, len(ours), 2), torch.arange(1, len(ours), 2)])  # by group
    assert relative_error(images, ours[order], RADIUS) < 1e-3
    if name != "none":
        plain = predict(volume, read_particles(project / "groups.star"), RADIUS, padding=2)
        assert relative_error(images, plain[order], RADIUS) > 0.1


@pytest.mark.parametrize(("box", "pixel_size"), [(60, 4.32), (40, 5.4)])
def test_predictions_at_two_scales_are_relions(project: Path, box: int, pixel_size: float) -> None:
    star = project / f"scale_{box}.star"
    noise = np.random.default_rng(0).normal(size=(16, box, box))
    write_stack(project / f"noise_{box}.mrcs", noise, pixel_size)
    tables = starfile.read(project / "groups.star")
    tables["optics"] = tables["optics"].assign(
        rlnImageSize=[BOX, box], rlnImagePixelSize=[PIXEL_SIZE, pixel_size], **ABERRATIONS["magnification"]
    )
    rows = tables["particles"]
    second = rows["rlnOpticsGroup"] == 2
    rows.loc[second, "rlnImageName"] = rows["rlnImageName"].str.replace("particles", f"noise_{box}")
    starfile.write(tables, star)
    particles, predictions = read_particles(star), relions_predictions(star)
    volume = torch.from_numpy(read_volume(project / "truth" / "state_00.mrc")[0])
    # Along a ray through the finer map there are more voxels.
    volume = resample_volumes(volume, particles.box) * particles.pixel_size / PIXEL_SIZE
    for index, group in enumerate(particles.optics):
        share = group.image_size * group.pixel_size / (BOX * PIXEL_SIZE)  # of the map's width
        radius = int(min(group.image_size, share * BOX)) // 2 - 2
        ours = predict(volume, particles, radius, padding=2)[particles.optics_index == index]
        # RELION 3.1 scales by the boxes, as if all images were equally wide.
        assert relative_error(predictions[index], share**2 * ours, radius) < 1e-3


def antisymmetric_phase(particles: Particles, radius: int) -> Tensor:
    """Phases (N, P) of the particles' aberrations alone."""
    centred = replace(particles, shift=np.zeros_like(particles.shift))
    return image_phase(centred, np.arange(particles.count), half_disc(radius))


@pytest.mark.parametrize("sign", [1, -1])
def test_relion_reconstructs_images_with_our_phases_and_not_with_opposite_ones(
    tmp_path: Path, sign: int
) -> None:
    folder = tmp_path / "set"
    simulate(folder, states=1, particles=500, box=BOX, pixel_size=PIXEL_SIZE, snr=np.inf)
    truth = Truth.open(folder / "truth")
    star = write_groups(
        folder / "particles.star", folder / "aberrated.star", ABERRATIONS["beam tilt and Zernikes"]
    )
    particles, disc = read_particles(star), half_disc(BOX // 2 - 1)
    images = torch.from_numpy(read_images(particles, np.arange(particles.count)))
    phase = antisymmetric_phase(particles, disc.radius)
    values = images_to_disc(images, disc) * (phase if sign > 0 else phase.conj())
    write_stack(
        folder / "particles.mrcs", disc_to_images(values, disc, BOX).numpy(), PIXEL_SIZE, overwrite=True
    )
    tables = starfile.read(star)
    tables["particles"] = tables["particles"][truth.subunit == 1]
    starfile.write(tables, star, overwrite=True)
    relion(folder, "relion_reconstruct", "--i", star.name, "--o", "map.mrc", "--ctf")
    fsc = state_fsc(read_volume(folder / "map.mrc")[0][None], truth.states, truth.solvent)[0, 1 : RADIUS + 1]
    assert fsc.min() > 0.99 if sign > 0 else fsc.min() < 0.9
