"""A tour of the whole window by real mouse and key events: what it does is checked, measured and pictured.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/tour.py RUN PARTICLES [--output docs]

Leaves numbered pictures in OUTPUT/tour and all figures in OUTPUT/tour.json. A station that fails does not end the tour;
the exit status tells of it.
"""

import argparse
import json
import os
import shutil
import sys
import time
import traceback
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", "")  # leave the settings of whoever takes the tour alone

from event_loop import EventLoop
from guide import Guide, Report
from stations import colours, comparing, exploring, exports, images, manners, paths, selecting

from napari_sbackprop.gui.app import open_viewer

WINDOW = (1600, 1000)
STATIONS = {
    "1 the map follows the hand": exploring.explore,
    "2 compare": comparing.compare,
    "3 paths": paths.follow_paths,
    "4 select": selecting.select,
    "5 evidence": images.look_at_images,
    "6 colour by anything": colours.colour_by_everything,
    "8 out": exports.export,
    "9 manners": manners.behave,
}


def visit(guide: Guide, name: str, station: Any) -> Report:
    """Go to one station, and say what held there."""
    guide.report, guide.loop.station = Report(name), name
    started = time.monotonic()
    try:
        station(guide)
    except Exception as error:
        traceback.print_exc()
        guide.report.failed.append(f"came to its end ({guide.loop.action}: {type(error).__name__}: {error})")
    guide.report.seconds = round(time.monotonic() - started, 1)
    print(f"{name}: {len(guide.report.held)} claims hold, {guide.report.seconds} s", file=sys.stderr)
    for claim in guide.report.failed:
        print(f"    FAILED: {claim}", file=sys.stderr)
    return guide.report


def note_error(guide: Guide, kind: type, error: BaseException, trace: Any) -> None:
    """Take an error in one of Qt's callbacks for a claim that fails."""
    traceback.print_exception(kind, error, trace)
    guide.report.failed.append(f"no error ({guide.loop.action}: {kind.__name__}: {error})")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("particles", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--stations", nargs="*", default=[], help="numbers of the stations to visit alone")
    options = parser.parse_args()
    pictures, files = options.output / "tour", options.run.resolve().parent / "files"
    for folder in (pictures, files):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    run = Path(shutil.copytree(options.run, files / "run"))  # the tour keeps sets in it
    viewer = open_viewer(None)
    viewer.window.resize(*WINDOW)
    guide = Guide(viewer, EventLoop(), files, pictures, options.particles.resolve())
    sys.excepthook = partial(note_error, guide)
    guide.open(run)
    reports = [
        visit(guide, name, station)
        for name, station in STATIONS.items()
        if not options.stations or name.split()[0] in options.stations
    ]
    blocks = sorted(guide.loop.blocks, key=lambda block: -block.milliseconds)
    results = {"stations": [asdict(report) for report in reports], "blocks": [asdict(block) for block in blocks]}
    (options.output / "tour.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    for block in blocks[:20]:
        print(block, file=sys.stderr)
    viewer.close()
    return int(any(report.failed for report in reports))


if __name__ == "__main__":
    sys.exit(main())
