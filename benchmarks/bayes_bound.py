"""How well can a simulated set be sorted at all? The Bayes bound, printed as JSON.

Each image of a subset is assigned to its most likely state, given the true maps, pose, shift, CTF, contrast and spectrum of
the noise. No method can honestly do better.

    python benchmarks/bayes_bound.py [--states 10 --box 64 --pixel-size 4 --snr 0.1 --images 500 --models A.pdb B.pdb]
                                     [--motion circle --subunit-share 1 --contrast-sd 0.2 --noise-falloff 20]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.validation import StateAccuracy, most_likely_states, state_accuracy
from napari_sbackprop.data.atoms import interpolate_models
from napari_sbackprop.data.projector import BeadProjector
from napari_sbackprop.data.simulation import (
    B_FACTOR,
    SUBUNIT_SHARE,
    ParticleDraw,
    clean_images,
    draw_particles,
    noise_amplitude,
    noise_level,
)
from napari_sbackprop.data.specimen import Specimen
from napari_sbackprop.data.toy import MOTIONS, toy_complex


def bayes_bound(
    specimen: Specimen,
    box: int,
    pixel_size: float,
    snr: float,
    images: int,
    share: float = SUBUNIT_SHARE,
    contrast_sd: float = 0.0,
    noise_falloff: float = 1.0,
    seed: int = 0,
) -> StateAccuracy:
    """Accuracy of the best assignment of `images` images; the optional part, in a `share` of them, is unknown to it."""
    projector = BeadProjector(specimen, box, pixel_size, B_FACTOR)
    draw = draw_particles(
        images, specimen.states, seed, share if specimen.optional.any() else 1.0, contrast_sd
    )
    noise_sd = noise_level(projector, draw, snr, seed)
    everyone = np.arange(images)
    amplitude = noise_amplitude(box, noise_falloff)

    def whitened(draw: ParticleDraw) -> npt.NDArray[np.float32]:
        clean = clean_images(projector, draw, everyone)
        return np.fft.irfft2(np.fft.rfft2(clean) / amplitude, s=(box, box)).astype(np.float32)

    clean = whitened(draw)
    noisy = clean + noise_sd * np.random.default_rng(seed).standard_normal(clean.shape)
    candidates, states = [], []
    for state in range(specimen.states):
        for present in (True, False) if specimen.optional.any() and share < 1 else (True,):
            candidates.append(whitened(_all_in(draw, state, present)))
            states.append(state)
    assigned = most_likely_states(noisy, np.stack(candidates), np.array(states), noise_sd)
    return state_accuracy(assigned, draw.state, specimen.states, specimen.arrangement)


def _all_in(draw: ParticleDraw, state: int, present: bool) -> ParticleDraw:
    return replace(draw, state=np.full(draw.count, state), present=np.full(draw.count, present))


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--states", type=int, default=10)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--pixel-size", type=float, default=4.0)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--models", type=Path, nargs=2, metavar=("FIRST", "LAST"))
    parser.add_argument("--motion", choices=MOTIONS, default="swing")
    parser.add_argument("--subunit-share", type=float, default=SUBUNIT_SHARE)
    parser.add_argument("--contrast-sd", type=float, default=0.0)
    parser.add_argument("--noise-falloff", type=float, default=1.0)
    options = parser.parse_args()
    if options.models:
        specimen = interpolate_models(*options.models, options.states, circle=options.motion == "circle")
    else:
        specimen = toy_complex(options.states, options.motion)
    accuracy = bayes_bound(
        specimen,
        options.box,
        options.pixel_size,
        options.snr,
        options.images,
        options.subunit_share,
        options.contrast_sd,
        options.noise_falloff,
    )
    print(json.dumps(vars(accuracy)))


if __name__ == "__main__":
    main()
