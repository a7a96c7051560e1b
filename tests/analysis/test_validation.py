"""Scores on cases whose answer is known."""

from itertools import pairwise

import numpy as np
import pytest

from napari_sbackprop.analysis import validation
from napari_sbackprop.analysis.validation import (
    cryobench_auc,
    knn_state_accuracy,
    mean_to_nyquist,
    most_likely_states,
    neighbour_states,
    neighbourhood_similarity,
    state_accuracy,
    state_fsc,
)
from napari_sbackprop.data.specimen import Arrangement


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_equal_maps_agree_and_others_do_not() -> None:
    maps, mask = noise(2, 16, 16, 16), np.ones((16, 16, 16), np.float32)
    assert np.allclose(state_fsc(maps, maps, mask), 1)
    assert np.allclose(state_fsc(maps, -3 * maps, mask), -1)
    assert np.abs(mean_to_nyquist(state_fsc(maps, noise(2, 16, 16, 16, seed=1), mask))).max() < 0.2


def test_mask_decides_what_is_compared() -> None:
    truth, mask = noise(1, 16, 16, 16), np.zeros((16, 16, 16), np.float32)
    mask[4:12, 4:12, 4:12] = 1
    spoiled = np.where(mask > 0, truth, 5.0).astype(np.float32)
    assert np.allclose(state_fsc(spoiled, truth, mask), 1)
    assert mean_to_nyquist(state_fsc(spoiled, truth, np.ones_like(mask)))[0] < 0.9


def test_mean_leaves_out_the_zero_frequency() -> None:
    assert mean_to_nyquist(np.array([100.0, 0.2, 0.4])) == pytest.approx(0.3)


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        state_fsc(noise(1, 8, 8, 8), noise(2, 8, 8, 8), noise(8, 8, 8))


def test_accuracy_counts_exact_adjacent_and_ends() -> None:
    labels = np.array([0, 0, 5, 9, 9, 4])
    accuracy = state_accuracy(np.array([0, 1, 3, 9, 2, 4]), labels, 10)
    assert accuracy.exact == pytest.approx(3 / 6)
    assert accuracy.within_one == pytest.approx(4 / 6)
    assert accuracy.ends == pytest.approx(3 / 4)  # states 0-2 and 7-9 alone


def test_states_on_a_ring_meet_and_unordered_ones_have_no_neighbours() -> None:
    labels, assigned = np.array([0, 9, 5]), np.array([9, 0, 3])
    ring = state_accuracy(assigned, labels, 10, "ring")
    assert ring.within_one == pytest.approx(2 / 3)
    assert np.isnan(ring.ends)
    unordered = state_accuracy(assigned, labels, 10, "none")
    assert unordered.exact == 0
    assert np.isnan([unordered.within_one, unordered.ends]).all()


def test_separate_clusters_are_told_apart() -> None:
    labels = np.repeat(np.arange(4), 50)
    latents = noise(200, 3) * 0.1 + labels[:, None]
    accuracy = knn_state_accuracy(latents, labels)
    assert (accuracy.exact, accuracy.within_one, accuracy.ends) == (1, 1, 1)


def test_latents_without_information_score_by_chance() -> None:
    labels = np.random.default_rng(1).permutation(np.arange(2000) % 10)
    assert knn_state_accuracy(noise(2000, 4), labels).exact == pytest.approx(0.1, abs=0.03)


def test_a_particle_has_no_vote_for_itself() -> None:
    labels = np.array([0, 1, 1, 1])
    voted, queries = neighbour_states(np.array([[0.0], [0.1], [0.2], [0.3]]), labels, neighbours=1)
    assert dict(zip(queries.tolist(), voted.tolist(), strict=True))[0] == 1


def test_large_sets_are_sampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "MAX_QUERIES", 30)
    monkeypatch.setattr(validation, "_BLOCK", 500)
    labels = np.repeat([0, 1], 50)
    voted, queries = neighbour_states(noise(100, 2) * 0.1 + labels[:, None], labels)
    assert len(queries) == 30
    assert np.array_equal(voted, labels[queries])


@pytest.mark.parametrize("arrangement", ["line", "ring"])
def test_neighbourhoods_are_kept_by_the_motion_itself_and_lost_by_chance(arrangement: Arrangement) -> None:
    labels = np.arange(600) % 6
    angle = 2 * np.pi * labels / 6
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    perfect = ring if arrangement == "ring" else labels[:, None].astype(float)
    for share in (0.02, 0.1, 0.3):  # less than a state, and up to its neighbours
        assert neighbourhood_similarity(perfect, labels, arrangement, share) == 1.0
    noise = np.random.default_rng(0).standard_normal((600, 3))
    assert neighbourhood_similarity(noise, labels, arrangement, 0.02) == pytest.approx(1 / 6, abs=0.03)


def test_neighbourhoods_agree_with_a_plain_count() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 5, 80)
    latents = labels[:, None] + random.standard_normal((80, 2))
    kept = 0
    for i in range(80):
        others = np.delete(np.arange(80), i)
        nearest = others[np.argsort(np.square(latents[others] - latents[i]).sum(1))[:24]]
        apart = np.abs(labels[others] - labels[i])
        reach = np.sort(apart)[23]
        closer = (np.abs(labels[nearest] - labels[i]) < reach).sum()
        kept += closer + min((np.abs(labels[nearest] - labels[i]) == reach).sum(), 24 - (apart < reach).sum())
    assert neighbourhood_similarity(latents, labels, "line", 0.3) == pytest.approx(kept / (80 * 24))


def test_a_perfect_map_has_cryobenchs_perfect_area() -> None:
    truth, mask = noise(20, 20, 20), np.ones((20, 20, 20), np.float32)
    assert cryobench_auc(3 * truth, truth, mask) == pytest.approx(0.5 - 1 / 20)
    assert cryobench_auc(-truth, truth, mask) < 0  # less shell 0, which counts as 1
    other = noise(20, 20, 20, seed=1)
    assert cryobench_auc(other, truth, mask) < 0.1


def test_cryobenchs_shells_are_those_of_the_whole_transform() -> None:
    truth, decoded, mask = noise(12, 12, 12), noise(12, 12, 12, seed=1) + noise(12, 12, 12), noise(12, 12, 12)
    a, b = np.fft.fftn(truth * mask), np.fft.fftn(decoded * mask)
    radius = np.linalg.norm(np.stack(np.meshgrid(*[np.fft.fftfreq(12) * 12] * 3)), axis=0)
    curve = [1.0]
    for i in range(1, 6):
        inside = (radius >= i - 1) & (radius < i)
        cross = (a * b.conj())[inside].sum().real
        curve.append(cross / np.linalg.norm(a[inside]) / np.linalg.norm(b[inside]))
    expected = sum((left + right) / 2 for left, right in pairwise(curve)) / 12
    assert cryobench_auc(decoded, truth, mask) == pytest.approx(expected)


def test_bayes_rule_sums_over_hypotheses_of_one_state() -> None:
    image = np.zeros((1, 2, 2))
    near, nearest = np.full((1, 2, 2), 0.30), np.full((1, 2, 2), 0.29)
    candidates, states = np.stack([nearest, near, near]), np.array([0, 1, 1])
    assert most_likely_states(image, candidates, states, noise_sd=1.0).tolist() == [1]
    assert most_likely_states(image, candidates, states, noise_sd=0.01).tolist() == [0]


def test_bayes_rule_survives_unlikely_images() -> None:
    candidates = np.stack([np.zeros((1, 8, 8)), np.ones((1, 8, 8))])
    assert most_likely_states(np.full((1, 8, 8), 1e3), candidates, np.array([0, 1]), 0.1).tolist() == [1]
