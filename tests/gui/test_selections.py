"""Selections and kept sets, without Qt."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Desk, publish_again

from napari_sbackprop.analysis.particle_set import SET_COLOURS, ParticleSet, read_sets, write_sets
from napari_sbackprop.analysis.selection import ADD, INTERSECT, SUBTRACT
from napari_sbackprop.gui.history import MOST_STATES, History
from napari_sbackprop.gui.selections import LONGEST_NAME
from napari_sbackprop.run_directory import RunDirectory

LEFT, RIGHT, TOP = (
    np.array(corners, dtype=float)
    for corners in (
        [[-99, -99], [0, -99], [0, 99], [-99, 99]],
        [[0, -99], [99, -99], [99, 99], [0, 99]],
        [[-99, 0], [99, 0], [99, 99], [-99, 99]],
    )
)


def selected(desk: Desk) -> set[int]:
    selection = desk.model.selection
    return set() if selection is None else set(selection.indices.tolist())


@pytest.fixture
def sides(open_desk: Desk) -> tuple[set[int], set[int], set[int]]:
    """Particles left, right and at the top of the plane."""
    x, y = open_desk.model.projection.coordinates.T
    return tuple(set(np.flatnonzero(side).tolist()) for side in (x < 0, x > 0, y > 0))


def test_what_is_found_joins_the_selection(open_desk: Desk, sides: tuple[set[int], ...]) -> None:
    left, right, top = sides
    selections = open_desk.explorer.selections
    selections.select_polygon(LEFT)
    assert selected(open_desk) == left
    selections.select_polygon(TOP, ADD)
    assert selected(open_desk) == left | top
    selections.select_polygon(RIGHT, SUBTRACT)
    assert selected(open_desk) == (left | top) - right
    selections.select_polygon(TOP, INTERSECT)
    assert selected(open_desk) == left & top
    selections.invert()
    assert selected(open_desk) == set(range(240)) - (left & top)
    assert f"{240 - len(left & top)} of 240 particles selected" in open_desk.model.message
    open_desk.model.combining = SUBTRACT  # what tools do where no key is held
    selections.select_polygon(RIGHT)
    assert selected(open_desk) == left - top
    selections.select_polygon(LEFT)
    assert open_desk.model.selection is None
    selections.invert()
    assert selected(open_desk) == set(range(240))


def test_the_nearest_particles_lie_around_the_crosshair(open_desk: Desk) -> None:
    model, selections = open_desk.model, open_desk.explorer.selections
    selections.select_nearest(10)
    assert model.selection is None
    assert "Click a place" in model.message
    particle = int(model.projection.coordinates[:, 0].argmax())
    open_desk.explorer.pick(*map(float, model.projection.coordinates[particle]))
    selections.select_nearest(10)
    latents = model.scene.latents
    distance = np.linalg.norm(latents - model.anchor.mean(latents), axis=1)
    assert selected(open_desk) == set(np.argsort(distance)[:10].tolist())
    assert particle in selected(open_desk)


def test_a_stroke_selects_what_it_passes(open_desk: Desk) -> None:
    x, y = open_desk.model.projection.coordinates.T
    open_desk.explorer.selections.select_stroke(np.array([[-99.0, 0.0], [99, 0]]), (0.3, 0.5))
    assert selected(open_desk) == set(np.flatnonzero(np.abs(y) <= 0.5).tolist())
    open_desk.explorer.selections.select_stroke(np.array([[0.0, -99], [0, 99]]), (0.3, 0.5), INTERSECT)
    assert selected(open_desk) == set(np.flatnonzero((np.abs(y) <= 0.5) & (np.abs(x) <= 0.3)).tolist())


def test_an_exported_combination_says_how_it_was_made(open_desk: Desk, tmp_path: Path) -> None:
    selections = open_desk.explorer.selections
    selections.select_polygon(LEFT)
    selections.select_polygon(TOP, ADD)
    selections.invert()
    selections.export(tmp_path / "out.star")
    open_desk.until(lambda: "Wrote" in open_desk.model.message)
    first, second, third = json.loads((tmp_path / "out.json").read_text())["steps"]
    assert first["polygon"] == LEFT.tolist()
    assert second["add"][0]["polygon"] == TOP.tolist()
    assert third == "invert"


def test_sets_are_kept_named_coloured_and_used(open_desk: Desk, sides: tuple[set[int], ...]) -> None:
    left, right, top = sides
    model, selections = open_desk.model, open_desk.explorer.selections
    for polygon in (LEFT, RIGHT, TOP):
        selections.select_polygon(polygon)
        selections.keep()
    assert [kept.name for kept in model.sets] == ["set_1", "set_2", "set_3"]
    assert [kept.colour for kept in model.sets] == list(SET_COLOURS[:3])
    selections.rename(0, "left side")
    assert model.sets[0].name == "left_side"
    selections.rename(1, "left_side")
    assert "no other set has" in model.error
    selections.rename(2, "x" * 5000)
    assert model.sets[2].name == "x" * LONGEST_NAME  # it is a file name, too
    selections.undo()
    selections.recolour(1, "#123456")
    selections.set_visible(1, False)
    assert (model.sets[1].colour, model.sets[1].visible, model.sets[1].name) == ("#123456", False, "set_2")
    selections.use(0)
    assert selected(open_desk) == left
    assert model.selection.name == "left_side"
    selections.use(2, INTERSECT)
    assert selected(open_desk) == left & top
    selections.use(1, ADD)
    assert selected(open_desk) == (left & top) | right
    selections.remove(1)
    assert [kept.name for kept in model.sets] == ["left_side", "set_3"]
    selections.keep()
    assert model.sets[-1].name == "set_1"
    assert len({kept.colour for kept in model.sets}) == 3


def test_every_change_can_be_undone_and_done_again(open_desk: Desk) -> None:
    model, selections = open_desk.model, open_desk.explorer.selections

    def state() -> tuple[object, ...]:
        return selected(open_desk), [(kept.name, kept.colour, len(kept.indices)) for kept in model.sets]

    states = [state()]
    for change in (
        lambda: selections.select_polygon(LEFT),
        selections.keep,
        lambda: selections.select_polygon(TOP, ADD),
        lambda: selections.rename(0, "other"),
        lambda: selections.recolour(0, SET_COLOURS[4]),
        selections.invert,
        lambda: selections.remove(0),
        selections.clear,
    ):
        change()
        states.append(state())
    for expected in states[-2::-1]:
        assert selections.history.can_undo
        selections.undo()
        assert state() == expected
    assert not selections.history.can_undo
    selections.undo()
    for expected in states[1:]:
        selections.redo()
        assert state() == expected
    assert not selections.history.can_redo
    selections.undo()
    selections.select_polygon(RIGHT)
    assert not selections.history.can_redo


def test_history_has_an_end() -> None:
    history = History(0)
    for number in range(MOST_STATES + 50):
        history.record(number + 1)
    steps = 0
    while history.can_undo:
        history.undo()
        steps += 1
    assert steps == MOST_STATES
    assert history.present == 50


def test_sets_are_there_again_when_the_run_is_reopened(open_desk: Desk, run: Path) -> None:
    selections = open_desk.explorer.selections
    open_desk.until(lambda: selections._stored is not None)
    selections.select_polygon(LEFT)
    selections.keep()
    selections.rename(0, "open")
    selections.set_visible(0, False)
    selections.select_polygon(TOP)
    selections.keep()
    before = open_desk.model.sets
    open_desk.until(lambda: len(read_sets(RunDirectory(run), 240)) == 2)
    publish_again(run)  # sets are particles: a new epoch moves them, and changes none
    open_desk.explorer.open(run)
    assert not open_desk.model.sets
    open_desk.until(lambda: open_desk.model.sets)
    for kept, again in zip(before, open_desk.model.sets, strict=True):
        assert (kept.name, kept.colour, kept.visible) == (again.name, again.colour, again.visible)
        np.testing.assert_array_equal(kept.indices, again.indices)
        assert kept.provenance == again.provenance
    assert [path.name for path in (run / "selections").iterdir()] == ["sets.npz"]
    open_desk.explorer.selections.remove(1)
    open_desk.until(lambda: len(read_sets(RunDirectory(run), 240)) == 1)
    open_desk.explorer.selections.undo()
    open_desk.until(lambda: len(read_sets(RunDirectory(run), 240)) == 2)


def test_a_new_epoch_leaves_selection_and_sets(open_desk: Desk, run: Path) -> None:
    open_desk.explorer.selections.select_polygon(LEFT)
    open_desk.explorer.selections.keep()
    before, sets = open_desk.model.selection, open_desk.model.sets
    epoch = publish_again(run)
    open_desk.explorer.refresh()
    open_desk.until(lambda: open_desk.model.scene.epoch == epoch and not open_desk.explorer.busy)
    assert open_desk.model.selection is before
    assert open_desk.model.sets is sets


def test_sets_that_cannot_be_read_are_not_replaced(desk: Desk, run: Path) -> None:
    path = RunDirectory(run).sets_path
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    desk.explorer.open(run)
    desk.until(lambda: "sets.npz cannot be read" in desk.model.error)
    desk.explorer.selections.select_polygon(LEFT)
    desk.explorer.selections.keep()
    assert desk.model.sets
    assert "new sets are not stored" in desk.model.error  # said again
    desk.until(lambda: not desk.explorer.busy)
    done: list[None] = []
    desk.explorer._files.submit(lambda: None, done.append)  # comes after all that was asked before
    desk.until(lambda: done)
    assert path.read_bytes() == b"damaged"


def test_sets_of_other_particles_are_refused(run: Path) -> None:
    directory = RunDirectory(run)
    write_sets(directory, [ParticleSet("far", np.array([3, 500]), {}, SET_COLOURS[0])])
    assert read_sets(directory, 501)[0].indices.tolist() == [3, 500]
    with pytest.raises(Exception, match="names particle 500, but the run has particles 0 to 239"):
        read_sets(directory, 240)


def test_a_set_kept_just_before_the_window_closes_is_stored(open_desk: Desk, run: Path) -> None:
    selections = open_desk.explorer.selections
    open_desk.until(lambda: selections._stored is not None)
    selections.select_polygon(LEFT)
    open_desk.explorer.refresh()  # something to wait for
    selections.keep()
    open_desk.explorer.close()
    open_desk.until(lambda: len(read_sets(RunDirectory(run), 240)) == 1)


def test_two_windows_do_not_replace_each_others_sets(open_desk: Desk, run: Path) -> None:
    other = Desk()
    other.explorer.open(run)
    other.until(lambda: other.explorer.selections._stored is not None)
    for desk in (open_desk, open_desk, other):
        desk.explorer.selections.select(np.arange(20), {})
        desk.explorer.selections.keep()
        desk.explorer.selections.rename(len(desk.model.sets) - 1, f"of_{len(desk.model.sets)}")
        done: list[None] = []
        desk.explorer._files.submit(lambda: None, done.append)  # comes after all that was asked before
        desk.until(lambda done=done: done)
    assert [kept.name for kept in read_sets(RunDirectory(run), 240)] == ["of_1", "of_2"]
    assert open_desk.model.error == ""
    assert "sets.npz was changed by another window" in other.model.error
    assert [kept.name for kept in other.model.sets] == ["of_1"]
    other.explorer.close()
