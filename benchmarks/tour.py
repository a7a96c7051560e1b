"""A tour of the whole window by real mouse and key events: what it does is checked, measured and pictured.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/tour.py RUN PARTICLES [--output docs]

Leaves numbered pictures in OUTPUT/tour and all figures in OUTPUT/tour.json. A station that fails does not end the tour;
the exit status tells of it.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", "")  # leave the settings of whoever takes the tour alone

import qtpy
import tour_figures
from event_loop import EventLoop
from guide import Guide, Report
from stations import (
    colours,
    comparing,
    exploring,
    exports,
    images,
    manners,
    paths,
    selecting,
    training,
)
from tour_figures import Figure

from napari_sbackprop.gui.app import open_viewer
from napari_sbackprop.gui.opengl import renderer_name

WINDOW = (1600, 1000)
SETTLING = 3.0  # seconds, until napari has said what it says at its start
LONGEST_BLOCK = 100  # ms
STATIONS = {
    "1 the map follows the hand": exploring.explore,
    "2 compare": comparing.compare,
    "3 paths": paths.follow_paths,
    "4 select": selecting.select,
    "5 evidence": images.look_at_images,
    "6 colour by anything": colours.colour_by_everything,
    "7 while training": training.train,
    "8 out": exports.export,
    "9 manners": manners.behave,
}
FIGURES = {
    "maps": tour_figures.maps,
    "training": tour_figures.training_speed,
    "many": tour_figures.many_particles,
    "million": tour_figures.million_points,
    "start": tour_figures.start,
}


class Tour:
    """Goes from station to station with a guide, and takes down what is found."""

    def __init__(self, guide: Guide, run: Path) -> None:
        self._guide, self._run = guide, run
        self.reports: list[Report] = []
        self.figures: list[Figure] = []
        sys.excepthook = self._on_error  # of what Qt calls, which would end the program

    def visit(self, name: str, station: Any) -> None:
        """Go to one station, on the run of the tour."""
        guide = self._guide
        guide.report, guide.loop.station = Report(name), name
        self.reports.append(guide.report)
        started = time.monotonic()
        try:
            guide.does("opening the run")
            guide.open(self._run)
            self.figures += station(guide) or []
        except Exception as error:
            traceback.print_exc()
            guide.check(f"it comes to its end ({guide.loop.action}: {type(error).__name__}: {error})", False)
        guide.report.seconds = round(time.monotonic() - started, 1)
        print(f"{name}: {len(guide.report.held)} claims hold, {guide.report.seconds} s", file=sys.stderr)
        for claim in guide.report.failed:
            print(f"    FAILED: {claim}", file=sys.stderr)

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        traceback.print_exception(kind, error, trace)
        self._guide.check(f"no error comes up ({self._guide.loop.action}: {kind.__name__}: {error})", False)

    @property
    def failed(self) -> bool:
        return any(report.failed for report in self.reports)

    def results(self) -> dict[str, Any]:
        """All that was found, for a file."""
        loop, scatter = self._guide.loop, self._guide.dock.scatter
        scatter.canvas.set_current()
        figures = [*self.figures, *tour_figures.blocked(loop.blocks, {*STATIONS})]
        return {
            "machine": {
                "cores": os.cpu_count(),
                "processor": platform.processor() or platform.machine(),
                "gl_renderer": renderer_name(),
                "qt": f"{qtpy.API_NAME} {qtpy.QT_VERSION}",
                "python": platform.python_version(),
            },
            "figures": [asdict(figure) | {"reached": figure.reached} for figure in figures],
            "blocks_beyond_100_ms": [asdict(blocks) for blocks in loop.blocks],
            "stations": [asdict(report) for report in self.reports],
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("particles", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--only", nargs="*", help="first words of the stations and figures to visit alone")
    options = parser.parse_args()
    shutil.rmtree(options.output / "tour", ignore_errors=True)
    (options.output / "tour").mkdir(parents=True)
    with tempfile.TemporaryDirectory(
        prefix="tour-", ignore_cleanup_errors=True
    ) as files:  # whose name may be in pictures
        return lead(options, Path(files))


def lead(options: argparse.Namespace, files: Path) -> int:
    """Take the tour, with a folder for what it exports; the status is 1 where a claim does not hold."""
    for folder in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        os.environ[folder] = str(files / folder)  # whoever takes the tour keeps their preferences
    run = Path(shutil.copytree(options.run, files / "run"))  # the tour keeps sets in it
    (files / "particles").symlink_to(options.particles.resolve().parent)
    particles = files / "particles" / options.particles.name
    viewer = open_viewer(None)
    viewer.window.resize(*WINDOW)
    guide = Guide(viewer, EventLoop(), files, options.output / "tour", particles)
    tour = Tour(guide, run)
    guide.loop.run(SETTLING)
    guide.picture("empty")
    for name, station in {**STATIONS, **FIGURES}.items():
        if options.only is None or name.split()[0] in options.only:
            tour.visit(name, station)
    results = tour.results()
    (options.output / "tour.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    for found in results["figures"]:
        print(
            f"{found['what']}: {found['measured']} {found['unit']} (target {found['target']})",
            file=sys.stderr,
        )
    viewer.close()
    return int(tour.failed)


if __name__ == "__main__":
    sys.exit(main())
