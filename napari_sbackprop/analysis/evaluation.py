"""Judge a run by the truth of the simulated set that it was trained on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.clustering import kmeans
from napari_sbackprop.analysis.reconstruction import Decoder
from napari_sbackprop.analysis.validation import (
    cryobench_auc,
    knn_state_accuracy,
    mean_to_nyquist,
    neighbourhood_similarity,
    state_fsc,
)
from napari_sbackprop.data.truth import Truth
from napari_sbackprop.errors import InputError
from napari_sbackprop.run_directory import RunDirectory


@dataclass(frozen=True)
class Evaluation:
    """Scores of one epoch. Correlations are means over shells 1 to Nyquist inside a mask; all values fit JSON.

    Attributes
    ----------
    epoch, particles, states
        What was scored.
    region, solvent
        Decoded maps against the true ones, mean over states: around what moves, and around everything.
    consensus_region, consensus_solvent
        The consensus map against the same true maps: what a useful result exceeds.
    state_exact, state_within_one, closed_open
        Shares of particles whose 20 nearest neighbours vote for their state, or one beside it, or, at the ends of the
        motion, for the right half. None where the states have no such order.
    subunit
        The same for the presence of the optional part; None where every particle has it.
    adjusted_rand_index, adjusted_mutual_information
        Of k-means clusters, as many as states.
    neighbourhood_similarity
        Share of the nearest 2 % of the particles that are the nearest in truth (`validation.neighbourhood_similarity`).
    auc_per_image, auc_per_conformation
        CryoBench's area under the FSC inside the solvent mask (`cryobench_auc`): mean over a hundred particles with the
        optional part, each
        decoded at its own latent; and over states, each decoded at the particle nearest to the mean of its members.
    auc_perfect
        What perfect maps would score.
    region_per_state, solvent_per_state, consensus_region_per_state, consensus_solvent_per_state
        The means above, state by state.
    """

    epoch: int
    particles: int
    states: int
    region: float
    consensus_region: float
    solvent: float
    consensus_solvent: float
    state_exact: float
    state_within_one: float | None
    closed_open: float | None
    subunit: float | None
    adjusted_rand_index: float
    adjusted_mutual_information: float
    neighbourhood_similarity: float
    auc_per_image: float
    auc_per_conformation: float
    auc_perfect: float
    region_per_state: list[float]
    consensus_region_per_state: list[float]
    solvent_per_state: list[float]
    consensus_solvent_per_state: list[float]


def evaluate(run: Path, truth: Path, epoch: int | None = None) -> Evaluation:
    """Score an epoch of a run: maps per state, states by neighbours, clusters.

    Each state's map is decoded from the pooled information of the particles that are truly in it and have the optional
    part, as the true map does. Labels serve this scoring alone.

    Parameters
    ----------
    run
        Run directory; its particle i must be particle i of the truth.
    truth
        Folder `truth` of the simulated set.
    epoch
        The newest by default.

    Raises
    ------
    InputError
        The truth is not of the run's particles, or none of these has the optional part.
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    directory, facts = RunDirectory(run), Truth.open(truth)
    decoder = Decoder.open(directory, epoch)
    latents = decoder.latents.mean
    _check_match(run, truth, decoder, facts)
    region = score_maps(decoder, facts, facts.region)
    solvent = score_maps(decoder, facts, facts.solvent)
    accuracy = knn_state_accuracy(latents, facts.labels, facts.arrangement)
    clusters = kmeans(latents, len(facts.states))[0]
    varied = np.unique(facts.subunit).size > 1
    whole = np.flatnonzero(facts.subunit == 1)
    return Evaluation(
        epoch=decoder.latents.epoch,
        particles=len(latents),
        states=len(facts.states),
        region=float(np.mean(region.decoded)),
        consensus_region=float(np.mean(region.consensus)),
        solvent=float(np.mean(solvent.decoded)),
        consensus_solvent=float(np.mean(solvent.consensus)),
        state_exact=accuracy.exact,
        state_within_one=_known(accuracy.within_one),
        closed_open=_known(accuracy.ends),
        subunit=knn_state_accuracy(latents, facts.subunit).exact if varied else None,
        adjusted_rand_index=float(adjusted_rand_score(facts.labels, clusters)),
        adjusted_mutual_information=float(adjusted_mutual_info_score(facts.labels, clusters)),
        neighbourhood_similarity=neighbourhood_similarity(latents, facts.labels, facts.arrangement),
        auc_per_image=_auc(decoder, facts, _hundred(whole)),
        auc_per_conformation=_auc(decoder, facts, _representatives(latents, facts.labels, whole)),
        auc_perfect=0.5 - 1 / decoder.box,
        region_per_state=region.decoded,
        consensus_region_per_state=region.consensus,
        solvent_per_state=solvent.decoded,
        consensus_solvent_per_state=solvent.consensus,
    )


@dataclass(frozen=True)
class MapScores:
    """Mean correlation with each state's true map (S,): of the decoded map, and of the consensus."""

    decoded: list[float]
    consensus: list[float]


def score_maps(decoder: Decoder, truth: Truth, mask: npt.NDArray[np.float32]) -> MapScores:
    """Correlate the map of each state's true members, and the consensus, with the state's true map inside a mask.

    A state without members gets the map of an empty set, which is the prior's.
    """
    consensus = decoder.consensus()
    scores = MapScores([], [])
    for state, true_map in enumerate(truth.states):
        members = np.flatnonzero((truth.labels == state) & (truth.subunit == 1))
        decoded = decoder.volume(decoder.pooled(members))
        # One state at a time: in a large box all decoded maps together would not fit in memory.
        for values, candidate in ((scores.decoded, decoded), (scores.consensus, consensus)):
            values.append(float(mean_to_nyquist(state_fsc(candidate[None], true_map[None], mask))[0]))
    return scores


def _known(score: float) -> float | None:
    return None if np.isnan(score) else score


def _auc(decoder: Decoder, truth: Truth, particles: npt.NDArray[np.int64]) -> float:
    """Mean area under the FSC of particles, each decoded at its own latent, with the maps of their states."""
    return float(
        np.mean(
            [
                cryobench_auc(
                    decoder.volume(decoder.latents.mean[index]),
                    truth.states[truth.labels[index]],
                    truth.solvent,
                )
                for index in particles
            ]
        )
    )


def _hundred(particles: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return particles[np.unique(np.linspace(0, len(particles) - 1, 100).astype(np.int64))]


def _representatives(
    latents: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], particles: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Of each state the one of the particles whose latent is nearest to their mean."""
    nearest = []
    for state in np.unique(labels[particles]):
        members = particles[labels[particles] == state]
        distance = np.square(latents[members] - latents[members].mean(axis=0)).sum(axis=1)
        nearest.append(members[distance.argmin()])
    return np.array(nearest)


def _check_match(run: Path, truth: Path, decoder: Decoder, facts: Truth) -> None:
    remedy = "give the truth of the set that the run was trained on."
    if len(decoder.latents.mean) != len(facts.labels):
        raise InputError(
            f"{run} has {len(decoder.latents.mean)} particles, but {truth} labels {len(facts.labels)}: {remedy}"
        )
    if not (facts.subunit == 1).any():
        raise InputError(
            f"{truth} has no particle with the optional part, which its maps show: simulate more particles."
        )
    if decoder.box != facts.states.shape[-1]:
        raise InputError(
            f"{run} has maps of {decoder.box} voxels, but {truth} of {facts.states.shape[-1]}: {remedy}"
        )
