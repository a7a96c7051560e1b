"""States between two atomic models: the domain found, its screw, the interpolation, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from napari_sbackprop.data.atoms import interpolate_models
from napari_sbackprop.data.simulation import simulate
from napari_sbackprop.data.specimen import FloatArray, Screw, rotation_about
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError

pytest.importorskip("gemmi")

CORE, DOMAIN = 60, 30
SCREW = Screw(np.array([0.0, 0.6, 0.8]), np.array([14.0, 3.0, -2.0]), angle=50.0, advance=6.0)


def chain(seed: int = 0) -> FloatArray:
    """Residue centres of a made-up chain: a compact core, then a compact domain beside it."""
    random = np.random.default_rng(seed)
    core = random.normal(0, 8, (CORE, 3))
    return np.concatenate([core, random.normal((28, 0, 0), 5, (DOMAIN, 3))])


def write_pdb(path: Path, centres: FloatArray, name: str = "A") -> Path:
    """Three atoms per residue, with hydrogens and a water that must be left out."""
    lines, serial = [], 0
    for number, centre in enumerate(centres, start=1):
        atoms = (("N", "N", -0.7), ("CA", "C", 0.0), ("C", "C", 0.7), ("HA", "H", 1.0))
        for atom, element, offset in atoms:
            serial += 1
            x, y, z = centre[0] + offset, centre[1], centre[2]
            lines.append(
                f"ATOM  {serial:5d}  {atom:<3} ALA {name}{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
                f"  1.00 10.00          {element:>2}"
            )
    lines.append("HETATM 9999  O   HOH A 999       0.000   0.000   0.000  1.00 10.00           O")
    path.write_text("\n".join([*lines, "END", ""]))
    return path


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """The domain goes along `SCREW`, and the whole second model is turned away."""
    first = chain()
    last = first.copy()
    last[CORE:] = SCREW.apply(first[CORE:], 1.0)
    last = last @ rotation_about(np.array([1.0, 0.0, 0.0]), 70.0).T + [5, -9, 30]
    return write_pdb(tmp_path / "first.pdb", first), write_pdb(tmp_path / "last.pdb", last)


def test_domain_and_screw_are_found(models: tuple[Path, Path]) -> None:
    specimen = interpolate_models(*models, states=5)
    assert specimen.positions.shape == (5, 3 * (CORE + DOMAIN), 3)
    inside = np.arange(3 * (CORE + DOMAIN)) >= 3 * CORE
    assert (specimen.moving != inside).sum() <= 3 * 2  # two residues at the hinge may go either way
    assert str(specimen.motion["residues"]).endswith(f"-{CORE + DOMAIN}")
    assert specimen.motion["angle_degrees"] == pytest.approx(SCREW.angle, abs=0.5)
    assert specimen.motion["advance_angstrom"] == pytest.approx(SCREW.advance, abs=0.2)
    assert np.allclose(specimen.motion["axis"], SCREW.axis, atol=0.01)


def test_states_go_along_the_screw(models: tuple[Path, Path]) -> None:
    specimen = interpolate_models(*models, states=3)
    start = chain()[CORE + 2 :]
    half = SCREW.apply(start, 0.5)
    residues = specimen.positions.reshape(3, CORE + DOMAIN, 3, 3).mean(axis=2)  # (S, R, 3)
    assert np.allclose((residues[1] - residues[0])[CORE + 2 :], half - start, atol=0.1)
    assert np.ptp(residues[:, : CORE - 2], axis=0).max() < 0.05


def test_the_domain_goes_all_the_way_round(models: tuple[Path, Path]) -> None:
    specimen = interpolate_models(*models, states=4, circle=True)
    assert specimen.arrangement == "ring"
    residues = specimen.positions.reshape(4, CORE + DOMAIN, 3, 3).mean(axis=2)
    assert np.array_equal(
        residues[1:, : CORE - 2], np.broadcast_to(residues[0, : CORE - 2], (3, CORE - 2, 3))
    )
    quarter = rotation_about(SCREW.axis, 90.0)
    middle = residues[:, CORE + 2 :].mean(axis=(0, 1))  # on the axis, four quarters of a turn apart
    for before, after in zip(residues, np.roll(residues, -1, axis=0), strict=True):
        turned = (before[CORE + 2 :] - middle) @ quarter.T + middle
        assert np.allclose(turned, after[CORE + 2 :], atol=0.3)


def test_set_is_simulated_from_models(models: tuple[Path, Path], tmp_path: Path) -> None:
    star = simulate(tmp_path / "set", states=2, particles=4, box=32, pixel_size=5.0, models=models)
    truth = Truth.open(star.parent / "truth")
    assert truth.subunit.tolist() == [1, 1, 1, 1]
    assert truth.states.shape == (2, 32, 32, 32)


def test_models_without_a_moving_domain_are_refused(tmp_path: Path) -> None:
    first = write_pdb(tmp_path / "first.pdb", chain())
    with pytest.raises(InputError, match="no domain"):
        interpolate_models(first, write_pdb(tmp_path / "last.pdb", chain()), states=2)


def test_models_of_other_chains_are_refused(tmp_path: Path) -> None:
    first = write_pdb(tmp_path / "first.pdb", chain())
    with pytest.raises(InputError, match="in common"):
        interpolate_models(first, write_pdb(tmp_path / "last.pdb", chain(), name="B"), states=2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(None, "does not exist"), ("", "can be read"), ("data_x\nloop_\n_a\n", "first.cif")],
)
def test_unreadable_models_are_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "first.cif"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        interpolate_models(path, write_pdb(tmp_path / "last.pdb", chain()), states=2)


def test_receptor_binding_domain_of_the_spike_is_found(shared_data: Path) -> None:
    folder = shared_data / "spike"
    specimen = interpolate_models(folder / "6vxx.pdb.gz", folder / "6vyb.pdb.gz", states=10)
    chain_name, span = str(specimen.motion["residues"]).split()
    start, end = (int(number) for number in span.split("-"))
    assert chain_name == "B"
    assert abs(start - 331) <= 3
    assert abs(end - 527) <= 3
    assert specimen.motion["angle_degrees"] == pytest.approx(63.0, abs=1.5)
    assert specimen.motion["centre_moves_angstrom"] == pytest.approx(20.2, abs=0.7)
