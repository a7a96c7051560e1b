"""The canvas under real mouse events."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Mouse

from napari_sbackprop.analysis.selection import ADD, INTERSECT, SUBTRACT
from napari_sbackprop.gui import scatter as scatter_module
from napari_sbackprop.gui.scatter import BRUSH, LASSO, PAN, RECTANGLE, Scatter

pytestmark = pytest.mark.gui


@pytest.fixture
def scatter(qtbot: Any) -> Iterator[Scatter]:
    scatter = Scatter()
    widget = scatter.native
    qtbot.addWidget(widget)
    widget.resize(500, 400)
    with qtbot.waitExposed(widget):
        widget.show()
    points = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    scatter.set_points(points, np.ones((400, 4), np.float32))
    scatter.fit()
    qtbot.wait(50)
    yield scatter
    scatter.close()


@pytest.fixture
def hand(scatter: Scatter) -> Mouse:
    return Mouse(scatter.native)


@pytest.fixture
def picks(scatter: Scatter) -> list[tuple[float, float, bool]]:
    picks: list[tuple[float, float, bool]] = []
    scatter.picked.connect(lambda x, y, final: picks.append((x, y, final)))
    return picks


def test_a_click_picks_the_point_under_it(scatter: Scatter, hand: Mouse, picks: list[Any]) -> None:
    hand.click(*scatter.pixel((0.5, -0.25)))
    assert [final for *_, final in picks] == [True]
    np.testing.assert_allclose(picks[-1][:2], [0.5, -0.25], atol=0.01)


def test_a_drag_picks_all_the_way(scatter: Scatter, hand: Mouse, picks: list[Any]) -> None:
    path = np.linspace(scatter.pixel((-0.5, 0)), scatter.pixel((0.5, 0)), 11)
    hand.drag(path)
    assert len(picks) == 12
    np.testing.assert_allclose([x for x, *_ in picks[:-1]], np.linspace(-0.5, 0.5, 11), atol=0.01)
    assert [final for *_, final in picks] == [True, *[False] * 10, True]


@pytest.mark.parametrize(("mode", "modifier"), [(None, "ShiftModifier"), (LASSO, "NoModifier")])
def test_a_lasso_gives_its_outline(
    scatter: Scatter, hand: Mouse, picks: list[Any], mode: str | None, modifier: str
) -> None:
    outlines: list[np.ndarray] = []
    scatter.lassoed.connect(lambda vertices, how: outlines.append(vertices))
    if mode is not None:
        scatter.mode = mode
    corners = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
    hand.drag([scatter.pixel(corner) for corner in corners], modifier=modifier)
    assert not picks
    np.testing.assert_allclose(outlines[0], corners, atol=0.01)


@pytest.mark.parametrize(
    ("modifiers", "how"),
    [
        ("NoModifier", ""),
        ("ControlModifier", ADD),
        ("AltModifier", SUBTRACT),
        ("ControlModifier AltModifier", INTERSECT),
    ],
)
def test_a_rectangle_has_its_corners_where_the_mouse_was(
    scatter: Scatter, hand: Mouse, modifiers: str, how: str
) -> None:
    found: list[tuple[np.ndarray, str]] = []
    scatter.lassoed.connect(lambda vertices, joined: found.append((vertices, joined)))
    scatter.mode = RECTANGLE
    hand.drag([scatter.pixel(place) for place in [(-0.5, -0.2), (0.9, 0.9), (0.3, 0.6)]], modifier=modifiers)
    ((vertices, joined),) = found
    np.testing.assert_allclose(vertices.min(axis=0), [-0.5, -0.2], atol=0.01)
    np.testing.assert_allclose(vertices.max(axis=0), [0.3, 0.6], atol=0.01)
    assert joined == how
    hand.click(*scatter.pixel((0, 0)))
    assert len(found) == 1


def test_a_brush_gives_its_path_and_its_width_on_screen(scatter: Scatter, hand: Mouse) -> None:
    strokes: list[tuple[np.ndarray, tuple[float, float]]] = []
    scatter.brushed.connect(lambda path, radii, how: strokes.append((path, radii)))
    scatter.mode = BRUSH
    scatter.brush_radius = 20
    hand.drag([scatter.pixel(place) for place in [(-0.5, 0), (0, 0.2), (0.5, 0)]])
    hand.click(*scatter.pixel((0.1, 0.1)))
    (path, radii), (dot, _) = strokes
    np.testing.assert_allclose(path, [(-0.5, 0), (0, 0.2), (0.5, 0)], atol=0.01)
    np.testing.assert_allclose(dot, [(0.1, 0.1)], atol=0.01)
    edge = np.add(scatter.pixel((0, 0)), [20, -20])
    np.testing.assert_allclose(scatter.position(edge), radii, atol=0.01)


@pytest.mark.parametrize(("mode", "button"), [(PAN, "LeftButton"), ("explore", "RightButton")])
def test_panning_moves_the_view_by_the_mouse(scatter: Scatter, hand: Mouse, mode: str, button: str) -> None:
    scatter.mode = mode
    start = np.array(scatter.pixel((0.0, 0.0)))
    step = np.array([30.0, 20.0])
    hand.drag([start, start + step, start + 2 * step], button=button)
    np.testing.assert_allclose(scatter.pixel((0.0, 0.0)), start + 2 * step, atol=1.0)
    scatter.fit()
    np.testing.assert_allclose(scatter.pixel((0.0, 0.0)), start, atol=1.0)


def test_the_wheel_zooms_at_the_cursor(scatter: Scatter, qtbot: Any) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    place = scatter.pixel((0.4, 0.3))
    before = np.subtract(scatter.pixel((0.5, 0.3)), place)
    event = QWheelEvent(
        QPointF(*place),
        QPointF(scatter.native.mapToGlobal(QPoint(*map(int, place)))),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(scatter.native, event)
    np.testing.assert_allclose(scatter.pixel((0.4, 0.3)), place, atol=1.0)
    assert np.subtract(scatter.pixel((0.5, 0.3)), scatter.pixel((0.4, 0.3)))[0] > 1.1 * before[0]


@pytest.mark.parametrize(("count", "is_image"), [(1000, False), (30_000, True)])
def test_many_points_are_drawn_as_an_image_without_a_gpu(
    scatter: Scatter, qtbot: Any, count: int, is_image: bool
) -> None:
    scatter._software = True
    points = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
    scatter.set_points(points, np.tile(np.float32([1, 0, 0, 1]), (count, 1)))
    scatter.set_crosshair(None)
    scatter.fit()
    assert scatter.draws_raster is is_image
    picture = scatter.canvas.render()
    red = (picture[..., 0] > 100) & (picture[..., 1] < 80)
    height, width = red.shape
    middle = red[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    assert middle.mean() > 3 * red[: height // 10].mean()
    assert middle.any()


def test_a_view_that_rests_has_all_points(
    scatter: Scatter, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scatter_module, "MOST_IN_MOTION", 3_000)
    scatter._software = True
    points = np.random.default_rng(1).normal(size=(30_000, 2)).astype(np.float32)
    rgba = np.tile(np.float32([1, 0, 0, 1]), (len(points), 1))

    def painted() -> int:
        return int((scatter.canvas.render()[..., 0] > 100).sum())

    scatter.set_points(points, rgba)
    scatter.fit()
    in_motion = painted()
    scatter.set_points(points, rgba)
    at_rest = painted()
    assert 0 < in_motion < 0.7 * at_rest
    scatter.fit()
    assert painted() == in_motion
    qtbot.waitUntil(lambda: painted() == at_rest)


@pytest.mark.parametrize("count", [50, 25_000])
def test_selected_points_are_white_however_many_there_are(scatter: Scatter, count: int) -> None:
    scatter._software = True
    points = np.random.default_rng(1).normal(size=(30_000, 2)).astype(np.float32)
    scatter.set_points(points, np.tile(np.float32([1, 0, 0, 1]), (len(points), 1)))
    scatter.fit()

    def white() -> float:
        picture = scatter.canvas.render()
        return float((picture[..., :3].min(axis=2) > 100).mean())

    assert white() == 0
    scatter.set_marked(np.arange(count))
    some = white()
    assert some > 0
    scatter.set_marked(())
    assert white() == 0
