"""Selections: how they are made, and that exporting them loses nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from napari_sbackprop.analysis.selection import (
    ADD,
    INTERSECT,
    REPLACE,
    SUBTRACT,
    ParticleSelection,
    along_path,
    brush_outline,
    checked_indices,
    combined,
    export_selection,
    inside_polygon,
    inverted,
    nearest,
)
from napari_sbackprop.config import Config
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory

STAR = """
data_particles

loop_
_rlnImageName
_rlnAngleRot
1@a.mrcs 10.50
2@a.mrcs 20.5000
1@b.mrcs 1e1
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    (tmp_path / "p.star").write_text(STAR)
    return RunDirectory.create(tmp_path / "run", tmp_path / "p.star", Config(), {})


def chosen(*indices: int) -> ParticleSelection:
    return ParticleSelection("mine", np.array(indices, dtype=np.int64), {"how": "by hand"})


def test_export_keeps_the_rows_as_they_were_written(run, tmp_path):
    output = tmp_path / "out.star"
    assert export_selection(run, chosen(0, 2), output) == 2
    assert output.read_text() == STAR.replace("2@a.mrcs 20.5000\n", "")
    note = json.loads((tmp_path / "out.json").read_text())
    assert note["indices"] == [0, 2]
    assert note["how"] == "by hand"


def test_one_row_per_image_of_another_file(run, tmp_path):
    other = tmp_path / "expanded.star"
    other.write_text(STAR + "2@a.mrcs 30\n2@a.mrcs 40\n")
    assert export_selection(run, chosen(1), tmp_path / "all.star", other) == 3
    assert export_selection(run, chosen(1), tmp_path / "one.star", other, unique_images=True) == 1


@pytest.mark.parametrize("existing", ["out.star", "out.json"])
def test_export_overwrites_neither_file(run, tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        export_selection(run, chosen(1), tmp_path / "out.star")
    assert (tmp_path / existing).read_text() == "precious"
    assert not {"out.star", "out.json"} - {existing} & {path.name for path in tmp_path.iterdir()}


def test_a_second_export_names_the_file_that_was_asked_for(run, tmp_path):
    export_selection(run, chosen(1), tmp_path / "out.star")
    with pytest.raises(InputError, match=r"out\.star exists already"):
        export_selection(run, chosen(1), tmp_path / "out.star")


def test_export_needs_particles_and_a_star_name(run, tmp_path):
    with pytest.raises(InputError, match="is empty"):
        export_selection(run, chosen(), tmp_path / "out.star")
    for name in ("out.json", "out.csg", "out.CS", "out.mrcs", "out", "."):
        with pytest.raises(InputError, match=r"does not end in \.star, \.cs, \.pkl, which tells the format"):
            export_selection(run, chosen(1), tmp_path / name)
        with pytest.raises(InputError, match="does not end in"):
            export_selection(run, chosen(1), Path(name))
    assert not list(tmp_path.glob("out*"))


def test_polygons_close_themselves_and_may_cross():
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
    inside = inside_polygon(grid, [[0.5, 0.5], [3.5, 0.5], [3.5, 3.5], [0.5, 3.5]])
    assert len(inside) == 9
    bow = inside_polygon(grid, [[0.5, 0.5], [3.5, 3.5], [3.5, 0.5], [0.5, 3.5]])
    assert 0 < len(bow) < 9


@pytest.mark.parametrize(
    "vertices", [[], [[0, 0], [1, 1]], {"a": 1}, "text", [[0, 0], [1], [2, 2]], [[0, 0], [1, 0], [np.nan, 1]]]
)
def test_polygons_that_are_none_are_refused(vertices):
    with pytest.raises(InputError, match="at least three vertices"):
        inside_polygon(np.zeros((2, 2)), vertices)


def test_indices_are_sorted_and_checked():
    assert checked_indices([3, 1, 3], 4, "f.npy").tolist() == [1, 3]
    assert checked_indices([True, False, True, False], 4, "f.npy").tolist() == [0, 2]
    for wrong, message in (
        ([4], "names particle 4"),
        ([-1], "names particle -1"),
        ([0.5], "one row of particle numbers"),
    ):
        with pytest.raises(InputError, match=message):
            checked_indices(wrong, 4, "f.npy")


def test_a_brush_takes_what_it_passes():
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, (2000, 2))
    path, radii = np.array([[-1.0, 0], [0, 0], [0, 1]]), (0.2, 0.4)
    steps = np.concatenate([np.linspace(path[i], path[i + 1], 400) for i in range(2)])
    distance = np.linalg.norm((points[:, None] - steps) / radii, axis=2).min(axis=1)
    passed = set(along_path(points, path, radii).tolist())
    clear = np.abs(distance - 1) > 0.01  # the comparison steps along the path
    assert passed & set(np.flatnonzero(clear)) == set(np.flatnonzero(clear & (distance < 1)))
    outline = brush_outline(path, radii)
    assert passed == set(inside_polygon(points, outline).tolist()) | {
        index
        for index in passed
        if abs(distance[index] - 1) < 0.02  # its arcs are polygons
    }
    dot = along_path(points, path[:1], radii)
    assert set(dot) == set(np.flatnonzero(np.linalg.norm((points - path[0]) / radii, axis=1) <= 1))


def test_many_points_are_found_as_few_are():
    """The grid that saves looking at each of many points changes no answer, on its lines and edges neither."""
    random = np.random.default_rng(5)
    lattice = np.stack(np.meshgrid(*[np.linspace(-1, 1, 257)] * 2), axis=-1).reshape(-1, 2)
    points = np.concatenate([lattice, random.normal(0, 0.6, (60_000, 2))]).astype(np.float32)
    angle = np.linspace(0, 4 * np.pi, 90)
    star = np.stack([np.cos(angle * 1.3), np.sin(angle * 2.1)], axis=1)  # crosses itself
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.75
    for vertices in (star, square, star * 1e-3, square * [1, 1e-9]):
        region = shapely.make_valid(shapely.Polygon(vertices))
        expected = np.flatnonzero(shapely.contains_xy(region, *points.T.astype(np.float64)))
        np.testing.assert_array_equal(inside_polygon(points, vertices), expected)


def test_the_nearest_particles_are_those_of_a_search_tree():
    rng = np.random.default_rng(0)
    from scipy.spatial import KDTree

    latents, place = rng.normal(size=(500, 5)), rng.normal(size=5)
    for count in (1, 37, 500):
        assert set(nearest(latents, place, count)) == set(
            KDTree(latents).query(place, np.arange(1, count + 1))[1]
        )
    assert len(nearest(latents, place, 9999)) == 500


def test_combinations_are_those_of_sets():
    rng = np.random.default_rng(0)
    first, second = (np.sort(rng.choice(50, 20, replace=False)) for _ in range(2))
    a, b = (
        ParticleSelection(name, indices, {"how": name}) for name, indices in [("a", first), ("b", second)]
    )
    expected = {REPLACE: set(second), ADD: set(first) | set(second)}
    expected |= {SUBTRACT: set(first) - set(second), INTERSECT: set(first) & set(second)}
    for how, members in expected.items():
        result = combined(a, b, how)
        assert result.indices.tolist() == sorted(members)
    assert combined(None, b, ADD).indices.tolist() == second.tolist()
    assert combined(None, b, SUBTRACT).indices.tolist() == []
    assert inverted(a, 50).indices.tolist() == sorted(set(range(50)) - set(first))
    chain = combined(inverted(combined(a, b, ADD), 50), combined(a, b, INTERSECT), SUBTRACT)
    assert chain.provenance == {
        "steps": [
            {"how": "a"},
            {"add": [{"how": "b"}]},
            "invert",
            {"subtract": [{"how": "a"}, {"intersect": [{"how": "b"}]}]},
        ]
    }


def test_subtracted_particles_leave_as_what_they_were_before(tmp_path):
    """In the run's own rows with the names swapped, or as the rows of the STAR file before subtraction."""
    names = {
        "1@a.mrcs": "2@Subtract/s.mrcs",
        "2@a.mrcs": "3@Subtract/s.mrcs",
        "1@b.mrcs": "1@Subtract/s.mrcs",
    }
    rows = [f"{after} {angle} {before}" for (before, after), angle in zip(names.items(), "789", strict=True)]
    head = "data_particles\n\nloop_\n_rlnImageName\n_rlnAngleRot\n_rlnImageOriginalName\n"
    (tmp_path / "subtracted.star").write_text(head + "\n".join(rows) + "\n")
    (tmp_path / "before.star").write_text(STAR)
    run = RunDirectory.create(tmp_path / "run", tmp_path / "subtracted.star", Config(), {})
    assert export_selection(run, chosen(0, 2), tmp_path / "swapped.star", revert=True) == 2
    swapped = "1@a.mrcs 7 2@Subtract/s.mrcs\n1@b.mrcs 9 1@Subtract/s.mrcs\n"
    assert (tmp_path / "swapped.star").read_text() == head + swapped
    assert json.loads((tmp_path / "swapped.json").read_text())["reverted"]
    assert export_selection(run, chosen(0, 2), tmp_path / "rows.star", tmp_path / "before.star") == 2
    assert (tmp_path / "rows.star").read_text() == STAR.replace("2@a.mrcs 20.5000\n", "")
    for options in ({"original": tmp_path / "before.star"}, {}):
        output = tmp_path / ("out.star" if options else "out.pkl")
        with pytest.raises(InputError, match=r"cannot hold reverted particles: name it \.star"):
            export_selection(run, chosen(0), output, revert=True, **options)
        assert not output.exists()


def test_one_row_of_each_image_before_subtraction(tmp_path):
    """Copies by symmetry are subtracted one by one: their images differ, those before do not."""
    head = "data_particles\n\nloop_\n_rlnImageName\n_rlnImageOriginalName\n"
    rows = "1@s.mrcs 1@a.mrcs\n2@s.mrcs 1@a.mrcs\n3@s.mrcs 2@a.mrcs\n"
    (tmp_path / "subtracted.star").write_text(head + rows)
    run = RunDirectory.create(tmp_path / "run", tmp_path / "subtracted.star", Config(), {})
    assert export_selection(run, chosen(0, 1, 2), tmp_path / "one.star", unique_images=True, revert=True) == 2
    assert (tmp_path / "one.star").read_text() == head + "1@a.mrcs 1@s.mrcs\n2@a.mrcs 3@s.mrcs\n"
    assert export_selection(run, chosen(0, 1, 2), tmp_path / "all.star", unique_images=True) == 3
