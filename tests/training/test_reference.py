"""A consensus map of the user's as the start of a training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sbackprop.config import Config
from napari_sbackprop.data.mrc import write_volume
from napari_sbackprop.data.star import read_particles
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.imaging.fourier import gridding_correction, volumes_to_sphere
from napari_sbackprop.imaging.grids import half_disc, half_sphere
from napari_sbackprop.imaging.masks import soft_ball, solvent_mask
from napari_sbackprop.run_directory import RunDirectory
from napari_sbackprop.training.progress import finished
from napari_sbackprop.training.reference import scaled_reference
from napari_sbackprop.training.spectra import whitened_spectra
from napari_sbackprop.training.trainer import train
from napari_sbackprop.training.volume_solver import back_project

BOX, PIXEL_SIZE = 36, 8.0
START = Config(latent_size=2, basis_size=2, epochs=0, threads=1, device="cpu")


@pytest.fixture(scope="module")
def true_map(small_set: Path) -> torch.Tensor:
    """Mean of the states, in the simulation's own units."""
    return torch.from_numpy(Truth.open(small_set / "truth").states.mean(0))


@pytest.mark.parametrize("factor", [1.0, 40.0])
def test_the_scale_is_that_of_the_images(small_set: Path, true_map: torch.Tensor, factor: float) -> None:
    disc, sphere = half_disc(BOX // 2 - 1), half_sphere(BOX // 2 - 1)
    spectra = finished(whitened_spectra(read_particles(small_set / "particles.star"), disc, 0.425 * BOX))
    everyone = torch.arange(spectra.count)
    found = back_project(spectra, sphere, everyone)
    scaled = scaled_reference(Path("map.mrc"), factor * true_map, spectra, everyone, found, sphere)
    unit = torch.view_as_real(volumes_to_sphere(true_map * gridding_correction(BOX), sphere))[:, None]
    # Images were divided by the deviation of their noise; two fifths of them lack the subunit of the true maps.
    noise = json.loads((small_set / "truth" / "truth.json").read_text())["noise_sd"]
    assert ((scaled * unit).sum() / unit.square().sum()).item() == pytest.approx(1 / noise, rel=0.05)
    for wrong in (true_map.flip(0), -true_map, true_map.roll(4, 0), torch.zeros_like(true_map)):
        with pytest.raises(InputError, match=r"^map\.mrc is not the map of these particles, for its FSC"):
            scaled_reference(Path("map.mrc"), wrong, spectra, everyone, found, sphere)


def test_a_run_starts_from_the_reference(small_set: Path, true_map: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "reference.mrc"
    write_volume(path, true_map.numpy(), PIXEL_SIZE)
    config = Config.from_json({**START.to_json(), "reference": str(path)})
    list(train(small_set / "particles.star", tmp_path / "run", config))
    run = RunDirectory(tmp_path / "run")
    assert run.config.reference == path
    ball = soft_ball(BOX, 0.425 * BOX, edge=0.05 * BOX, dimensions=3)
    expected = solvent_mask(true_map * ball, PIXEL_SIZE) * ball
    mask = run.read_model(run.latest_epoch())["mask"]
    assert (
        mask - expected
    ).abs().mean() < 0.01  # of the noise-free map, but without what lies beyond its band
    assert "scale of the reference" in run.log_path.read_text()


@pytest.mark.parametrize(
    ("box", "pixel_size", "sentence"),
    [
        (40, PIXEL_SIZE, "has a box of 40, but the particles have 36: resample it"),
        (BOX, 4.0, "has a pixel size of 4 Å, but the particles have 8 Å: resample it"),
    ],
)
def test_maps_on_another_grid_are_refused(
    small_set: Path, tmp_path: Path, box: int, pixel_size: float, sentence: str
) -> None:
    path = tmp_path / "reference.mrc"
    write_volume(path, np.ones((box, box, box)), pixel_size)
    config = Config.from_json({**START.to_json(), "reference": str(path)})
    with pytest.raises(InputError, match=rf"reference\.mrc {sentence}"):
        list(train(small_set / "particles.star", tmp_path / "run", config))
    assert not (tmp_path / "run").exists()


def test_the_papers_recipe_takes_none() -> None:
    with pytest.raises(
        InputError, match=r"--reference is map\.mrc, but must be left out in the paper's recipe"
    ):
        Config(recipe="paper", reference=Path("map.mrc"))
