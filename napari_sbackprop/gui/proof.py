"""The proof of a selection: its map from the images alone, and what that says of the decoded one."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui.explorer_model import Scene
from napari_sbackprop.gui.latest import Deliver


@dataclass(frozen=True, eq=False)
class Proof:
    """A back-projected map (M, M, M) with a title, and the judgement in a sentence."""

    volume: npt.NDArray[np.float32]
    title: str
    sentence: str


def prove(
    scene: Scene, selection: ParticleSelection, report: Callable[[str], None], stop: threading.Event
) -> Proof | None:
    """Back-project a selection in half sets and compare; None when it was stopped.

    Parameters
    ----------
    report : called with a line about what is going on.
    """
    from napari_sbackprop.analysis.evidence import judge
    from napari_sbackprop.training.half_maps import half_maps

    name, count = selection.name, len(selection.indices)
    report(f"Back-projecting {name}: measuring the noise …")
    work = half_maps(scene.run, selection.indices)
    while not stop.is_set():
        try:
            report(f"Back-projecting {name}: {next(work):,} of {count:,} particles")
        except StopIteration as finished:
            halves = finished.value
            break
    else:
        return None
    decoder = scene.decoder
    decoded, mask = decoder.volume(decoder.pooled(selection.indices)), decoder.mask()
    evidence = judge(halves.first, halves.second, decoded, decoder.consensus(), mask, decoder.pixel_size)
    sentence = (
        f"{name}: half maps of {count:,} particles agree to {evidence.resolution:.1f} Å, and show "
        f"{100 * evidence.change:.0f} ± {max(100 * evidence.change_error, 1):.0f} % of what the decoded map changes."
    )
    return Proof(evidence.average * mask, f"Back-projection of {name}", sentence)


class Prover:
    """Proves one selection at a time on a thread of its own.

    Parameters
    ----------
    deliver : runs a function on the thread that the answers belong to.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._stop = threading.Event()

    def start(
        self,
        scene: Scene,
        selection: ParticleSelection,
        report: Callable[[str], None],
        on_error: Callable[[Exception], None],
        on_end: Callable[[Scene, Proof | None], None],
    ) -> None:
        """Begin; `on_end` always comes last, with None after an error or a stop."""
        stop = self._stop = threading.Event()

        def work() -> None:
            proof = None
            try:
                proof = prove(scene, selection, lambda line: self._deliver(partial(report, line)), stop)
            except Exception as error:
                self._deliver(partial(on_error, error))
            self._deliver(partial(on_end, scene, proof))

        threading.Thread(target=work, name="sbackprop-proof", daemon=True).start()

    def stop(self) -> None:
        """Give up what is being proved."""
        self._stop.set()
