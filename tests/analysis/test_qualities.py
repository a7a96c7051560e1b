"""What an epoch says of each particle."""

import numpy as np
import torch

from napari_sbackprop.analysis.qualities import evidence, latent_sigma, movement
from napari_sbackprop.run_directory import Latents
from napari_sbackprop.training.posterior import linear_posterior


def test_evidence_is_that_of_the_posterior() -> None:
    """The judge works from images' statistics, which an epoch no longer has."""
    torch.manual_seed(0)
    slices = torch.randn(50, 40, 4, dtype=torch.float64)
    data = slices[..., 0] + (slices[..., 1:] @ torch.randn(50, 3, 1, dtype=torch.float64))[..., 0]
    data = data + torch.randn(50, 40, dtype=torch.float64)
    posterior = linear_posterior(slices.mT @ slices, (slices.mT @ data[..., None])[..., 0])
    latents = Latents(
        *(
            values.numpy()
            for values in (posterior.mean, posterior.mean, posterior.information, posterior.contrast)
        ),
        1,
    )
    np.testing.assert_allclose(evidence(latents), posterior.evidence, rtol=1e-5)


def test_sigma_is_one_where_the_image_says_nothing() -> None:
    shape = (4, 2)
    latents = Latents(*(np.zeros(shape, np.float32) for _ in range(3)), np.ones(4, np.float32), 1)
    np.testing.assert_allclose(latent_sigma(latents), 1)
    latents.log_variance[0] = np.log([0.25, 0.75])
    np.testing.assert_allclose(latent_sigma(latents)[0], np.sqrt(0.5))


def test_only_what_moves_against_the_others_moves() -> None:
    random = np.random.default_rng(0)
    before = random.normal(size=(400, 4)).astype(np.float32)
    turn = random.normal(size=(4, 3)).astype(np.float32)  # a dimension is dropped as well
    after = before @ turn + [1, 2, 3]
    np.testing.assert_allclose(movement(before, after.astype(np.float32)), 0, atol=1e-5)
    after[7] += [0, 3, 4]
    moved = movement(before, after.astype(np.float32))
    assert moved.argmax() == 7
    assert 4.5 < moved[7] < 5
    assert np.delete(moved, 7).max() < 0.2
