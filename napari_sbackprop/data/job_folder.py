"""The folder of a RELION External job: how RELION hears that a job ended, asks it to stop, and learns what it made.

RELION user guide, "The External job-type"; the numbers of node types are RELION 3.1's, their labels those of RELION 4 and 5.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

_NAME, _TYPE, _TYPE_LABEL = "rlnPipeLineNodeName", "rlnPipeLineNodeType", "rlnPipeLineNodeTypeLabel"
_POLL_SECONDS = 1.0


class Ending(Enum):
    """Files that tell how a job ended."""

    SUCCESS = "RELION_JOB_EXIT_SUCCESS"
    FAILURE = "RELION_JOB_EXIT_FAILURE"
    ABORTED = "RELION_JOB_EXIT_ABORTED"


class Node(Enum):
    """Types of output files: number and label."""

    PARTICLES = (3, "ParticleGroupMetadata.star.relion")
    MAP = (6, "DensityMap.mrc")
    MASK = (7, "Mask3D.mrc")


class JobFolder:
    """A job's folder, such as External/job012, by its path from the project's root."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self) -> None:
        """Make the folder, and take away how an earlier attempt ended."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (*(ending.value for ending in Ending), "RELION_JOB_ABORT_NOW"):
            (self.path / name).unlink(missing_ok=True)

    def end(self, ending: Ending) -> None:
        """Tell RELION how the job ended."""
        (self.path / ending.value).touch()

    @contextmanager
    def stopping(self, stop: threading.Event) -> Iterator[None]:
        """Set `stop` as soon as RELION asks for an abort, while the block runs."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_POLL_SECONDS):
                if (self.path / "RELION_JOB_ABORT_NOW").exists():
                    stop.set()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def write_outputs(self, nodes: Mapping[str, Node]) -> None:
        """List files of the folder, by name, as output."""
        rows = [
            f"{(self.path / name).as_posix()} {node.value[0]} {node.value[1]}" for name, node in nodes.items()
        ]
        head = [f"_{label} #{number}" for number, label in enumerate((_NAME, _TYPE, _TYPE_LABEL), 1)]
        lines = ["# version 30001", "", "data_output_nodes", "", "loop_", *head, *rows, ""]
        (self.path / "RELION_OUTPUT_NODES.star").write_text("\n".join(lines))
