"""Map of a selection from its images alone, and what that says of the decoded one."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.selection import ParticleSelection
from napari_sbackprop.gui.explorer_model import HalfMapFsc, Scene
from napari_sbackprop.gui.latest import Deliver
from napari_sbackprop.gui.thread_pools import all_threads

if TYPE_CHECKING:
    from napari_sbackprop.analysis.evidence import Agreement, Evidence

_PLACE = "The tab Images has the FSC."


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A back-projected map (M, M, M) with a title, the judgement in a sentence, and the curves behind it."""

    volume: npt.NDArray[np.float32]
    title: str
    sentence: str
    fsc: HalfMapFsc


def reconstruct(
    scene: Scene, selection: ParticleSelection, report: Callable[[str], None], stop: threading.Event
) -> Reconstruction | None:
    """Back-project a selection in half sets and compare; None when it was stopped.

    Parameters
    ----------
    report : called with a line about what is going on.
    """
    from napari_sbackprop.analysis.evidence import compare_halves, judge
    from napari_sbackprop.training.half_maps import half_maps

    name, count = selection.name, len(selection.indices)
    report(f"Back-projecting {name}: measuring the noise …")
    work = half_maps(scene.run, selection.indices, scene.epoch)
    while not stop.is_set():
        try:
            report(f"Back-projecting {name}: {next(work):,} of {count:,} particles")
        except StopIteration as finished:
            halves = finished.value
            break
    else:
        return None
    decoder, title = scene.decoder, f"Back-projection of {name}"
    if not scene.has_decoder:
        agreement = compare_halves(halves.first, halves.second, halves.mask, decoder.pixel_size)
        fsc = _curves(title, agreement, decoder.pixel_size)
        sentence = f"{_agreement(name, count, agreement)}. {_PLACE}"
        return Reconstruction(agreement.average * halves.mask, title, sentence, fsc)
    decoded, mask = decoder.volume(decoder.pooled(selection.indices)), decoder.mask()
    evidence = judge(halves.first, halves.second, decoded, decoder.consensus(), mask, decoder.pixel_size)
    more = {"decoded": evidence.decoded, "consensus": evidence.consensus}
    fsc = _curves(title, evidence, decoder.pixel_size, more)
    sentence = f"{_sentence(name, count, evidence)} {_PLACE}"
    return Reconstruction(evidence.average * mask, title, sentence, fsc)


def _curves(
    title: str,
    agreement: "Agreement",
    pixel_size: float,
    others: Mapping[str, npt.NDArray[np.float64]] = MappingProxyType({}),
) -> HalfMapFsc:
    own = {
        "corrected": agreement.corrected,
        "masked": agreement.masked,
        "unmasked": agreement.unmasked,
    }
    last, box = len(agreement.corrected) - 1, len(agreement.average)
    return HalfMapFsc(title, {**own, **others}, box * pixel_size / last)


def _agreement(name: str, count: int, agreement: "Agreement") -> str:
    if math.isinf(agreement.resolution):
        return f"{name}: half maps of {count:,} particles do not agree in any shell"
    return f"{name}: half maps of {count:,} particles agree to {agreement.resolution:.1f} Å"


def _sentence(name: str, count: int, evidence: "Evidence") -> str:
    agreement = _agreement(name, count, evidence)
    if math.isnan(evidence.change):
        return f"{agreement}; the decoded map is the consensus."
    share, error = 100 * evidence.change, max(100 * evidence.change_error, 1)
    return f"{agreement}, and show {share:.0f} ± {error:.0f} % of what the decoded map changes."


class Reconstructor:
    """Reconstructs one selection at a time on a thread of its own.

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
        on_end: Callable[[Scene, Reconstruction | Exception | None], None],
    ) -> None:
        """Begin; `on_end` comes last, with None after a stop."""
        stop = self._stop = threading.Event()

        def work() -> None:
            result: Reconstruction | Exception | None
            try:
                all_threads()
                result = reconstruct(
                    scene, selection, lambda line: self._deliver(partial(report, line)), stop
                )
            except Exception as error:
                result = error
            self._deliver(partial(on_end, scene, None if stop.is_set() else result))

        threading.Thread(target=work, name="sbackprop-reconstruct", daemon=True).start()

    def stop(self) -> None:
        """Give up the present reconstruction."""
        self._stop.set()
