"""Scores of a result against a known truth: maps by Fourier shell correlation, states by neighbours and clusters.

A global correlation cannot judge heterogeneity, for the mean map agrees with every state nearly everywhere: score inside a
mask of what moves as well, and beside the consensus map.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_sbackprop.data.specimen import Arrangement
from napari_sbackprop.imaging.shells import fourier_shell_correlation

Volumes = npt.NDArray[np.float32]
Map = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

END_SHARE = 0.3
"""Share of the states at either end of the motion that count as closed and as open."""
MAX_QUERIES = 10_000
"""Particles whose neighbours are looked up; of more, a random subset stands for all."""
_BLOCK = 2_000_000  # distances held at a time


@dataclass(frozen=True)
class StateAccuracy:
    """Shares of particles assigned to the right state.

    Attributes
    ----------
    exact
        Assigned to their own state.
    within_one
        Assigned to their own state or one beside it. NaN where states have no order.
    ends
        Of the particles in the first and last `END_SHARE` of the states: assigned to the right half of the motion. NaN
        where there is only one state, or no first and last.
    """

    exact: float
    within_one: float
    ends: float


def state_accuracy(
    assigned: Labels, labels: Labels, states: int, arrangement: Arrangement = "line"
) -> StateAccuracy:
    """Compare assigned states (N,) with true ones (N,), both 0 ... states - 1 in the order of the motion."""
    distance = _state_distance(assigned, labels, states, arrangement)
    width = max(1, round(END_SHARE * states))
    at_end = (labels < width) | (labels >= states - width)
    same_half = (assigned < states / 2) == (labels < states / 2)
    return StateAccuracy(
        exact=float((distance == 0).mean()),
        within_one=float("nan") if arrangement == "none" else float((distance <= 1).mean()),
        ends=float(same_half[at_end].mean()) if states > 1 and arrangement == "line" else float("nan"),
    )


def _state_distance(a: Labels, b: Labels, states: int, arrangement: Arrangement) -> Labels:
    """Steps between states, the shorter way round on a ring; 0 or 1 where they have no order."""
    distance: Labels = np.abs(a - b)
    if arrangement == "ring":
        return np.minimum(distance, states - distance)
    return np.minimum(distance, 1) if arrangement == "none" else distance


def state_fsc(decoded: Volumes, truth: Volumes, mask: Volumes) -> npt.NDArray[np.float64]:
    """Fourier shell correlation (S, M / 2) of maps (S, M, M, M) with the true ones, both times a soft mask (M, M, M)."""
    if decoded.shape != truth.shape or decoded.shape[1:] != mask.shape:
        raise ValueError(
            f"maps {decoded.shape}, true maps {truth.shape} and mask {mask.shape} do not fit together"
        )
    pairs = zip(decoded, truth, strict=True)
    return np.stack(
        [
            fourier_shell_correlation(torch.from_numpy(a * mask), torch.from_numpy(b * mask))
            .numpy()
            .astype(np.float64)
            for a, b in pairs
        ]
    )


def mean_to_nyquist(fsc: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of curves (..., M / 2) over shells 1 ... M / 2 - 1."""
    mean: npt.NDArray[np.float64] = fsc[..., 1:].mean(axis=-1)
    return mean


def neighbour_states(
    latents: npt.NDArray[np.floating], labels: Labels, neighbours: int = 20, seed: int = 0
) -> tuple[Labels, Labels]:
    """Vote on each particle's state among its nearest neighbours in latent space, itself left out.

    Parameters
    ----------
    latents
        (N, Z).
    labels
        (N,) true states from 0.
    neighbours
        Votes per particle; fewer where there are not as many other particles. A draw goes to the lower state.
    seed
        Of the subset that is queried where N exceeds `MAX_QUERIES`.

    Returns
    -------
    (Q,) voted states and (Q,) indices of the particles they belong to.
    """
    states = int(labels.max()) + 1
    queries = _queries(len(latents), seed)
    voted = [
        (labels[nearest][:, :, None] == np.arange(states)).sum(axis=1).argmax(axis=1)  # of votes (b, S)
        for _, nearest in _nearest(latents, queries, neighbours)
    ]
    return np.concatenate(voted), queries


def _queries(count: int, seed: int) -> Labels:
    """At most `MAX_QUERIES` of the particles, in order."""
    chosen: Labels = np.sort(np.random.default_rng(seed).permutation(count)[:MAX_QUERIES])
    return chosen


def _nearest(
    latents: npt.NDArray[np.floating], queries: Labels, neighbours: int
) -> Iterator[tuple[Labels, Labels]]:
    """Blocks of the queries (b,), and their nearest particles (b, n) in no order, themselves left out."""
    points = latents.astype(np.float64)
    square = (points**2).sum(axis=1)
    neighbours = min(neighbours, len(points) - 1)
    step = max(1, _BLOCK // len(points))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        distance = square - 2 * points[block] @ points.T  # (b, N), short of a constant per row
        distance[np.arange(len(block)), block] = np.inf
        yield block, np.argpartition(distance, neighbours - 1, axis=1)[:, :neighbours]


def neighbourhood_similarity(
    latents: npt.NDArray[np.floating],
    labels: Labels,
    arrangement: Arrangement = "line",
    share: float = 0.02,
    seed: int = 0,
) -> float:
    """Share of each particle's neighbours in latent space that are its neighbours in truth too, as CryoBench has it.

    Neighbours in truth are the particles of the nearest states; of those equally far as many count as there is room for.
    Where states have no order, only a particle's own state is near.

    Parameters
    ----------
    latents
        (N, Z).
    labels
        (N,) true states from 0, in the order of the motion.
    share
        Size of the neighbourhood, as a share of the N particles; CryoBench looks at 0.002 to 0.04.
    """
    states = int(labels.max()) + 1
    wanted = max(1, min(round(share * len(labels)), len(labels) - 1))
    steps = _state_distance(np.arange(states)[:, None], np.arange(states), states, arrangement)
    members = np.bincount(labels, minlength=states)
    kept = 0
    queries = _queries(len(labels), seed)
    for block, nearest in _nearest(latents, queries, wanted):
        for particle, found in zip(labels[block], labels[nearest], strict=True):
            away = steps[particle]
            within = np.cumsum(np.bincount(away, weights=members, minlength=states))
            within -= 1  # the particle itself
            edge = int(np.searchsorted(within, wanted))  # how far the neighbourhood reaches
            room = wanted - (within[edge - 1] if edge else 0)
            distance = away[found]
            kept += (distance < edge).sum() + min((distance == edge).sum(), room)
    return float(kept / (wanted * len(queries)))


def knn_state_accuracy(
    latents: npt.NDArray[np.floating], labels: Labels, arrangement: Arrangement = "line"
) -> StateAccuracy:
    """Accuracy of `neighbour_states` over states in the order of the motion."""
    voted, queries = neighbour_states(latents, labels)
    return state_accuracy(voted, labels[queries], int(labels.max()) + 1, arrangement)


def cryobench_auc(decoded: Map, truth: Map, mask: Map) -> float:
    """Area under the FSC of a map (M, M, M) with its true map, both times a mask, as CryoBench defines it.

    Shell i holds what lies at i - 1 <= r < i, shell 0 counts as 1, and the curve is integrated over i / M by the
    trapezoid rule: a perfect map scores 0.5 - 1 / M, not 1 (Jeon et al., "CryoBench", 2024).
    """
    box = len(truth)
    full, half = np.fft.fftfreq(box) * box, np.fft.rfftfreq(box) * box
    radius = np.sqrt(full[:, None, None] ** 2 + full[:, None] ** 2 + half**2)
    shell = np.floor(radius).astype(np.int64).ravel() + 1
    # A plane of the half transform stands for two of the whole one, except the first and the last.
    weight = np.broadcast_to(np.where((half == 0) | (half == box / 2), 1.0, 2.0), radius.shape).ravel()
    a, b = (np.fft.rfftn(volume.astype(np.float64) * mask).ravel() for volume in (decoded, truth))

    def total(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(shell, weights=weight * values)[: box // 2].astype(np.float64)

    cross = total((a * b.conj()).real)
    power = np.sqrt(total(np.abs(a) ** 2) * total(np.abs(b) ** 2))
    curve = cross / np.maximum(power, np.finfo(np.float64).tiny)
    curve[0] = 1
    return float((curve[1:] + curve[:-1]).sum() / 2 / box)


def most_likely_states(
    images: npt.NDArray[np.floating],
    candidates: npt.NDArray[np.floating],
    states: Labels,
    noise_sd: float,
) -> Labels:
    """Bayes-optimal state of each image under white noise, all candidates being equally probable beforehand.

    Parameters
    ----------
    images
        (N, M, M) noisy images.
    candidates
        (H, N, M, M) noise-free image of each particle under each of H hypotheses.
    states
        (H,) state of each hypothesis, from 0; several hypotheses of one state are summed over.
    noise_sd
        Standard deviation of the noise per pixel.

    Returns
    -------
    (N,) state of the highest posterior probability.
    """
    log_likelihood = np.stack(
        [
            -((images - candidate) ** 2).sum(axis=(1, 2), dtype=np.float64) / (2 * noise_sd**2)
            for candidate in candidates
        ]
    )  # (H, N)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=0))
    posterior = np.zeros((int(states.max()) + 1, len(images)))
    np.add.at(posterior, states, likelihood)
    assigned: Labels = posterior.argmax(axis=0)
    return assigned
