"""The exact posterior of the latent, against textbook Gaussians."""

import pytest
import torch

from napari_sbackprop.models.coefficients import CoefficientHead
from napari_sbackprop.models.encoder import PosteriorEncoder
from napari_sbackprop.models.latent import kl_divergence, sample_latent
from napari_sbackprop.training.posterior import (
    fitted_scale,
    linear_posterior,
    next_spread,
    refined_posterior,
)


@pytest.fixture
def statistics() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Design matrices (5, 40, 4), data (5, 40), and their Gram matrices and products."""
    generator = torch.Generator().manual_seed(0)
    design = torch.randn(5, 40, 4, generator=generator, dtype=torch.float64)
    data = design[..., 0] + torch.randn(5, 40, generator=generator, dtype=torch.float64)
    return design, data, design.mT @ design, (design.mT @ data[..., None])[..., 0]


def test_posterior_and_evidence_are_those_of_a_gaussian(statistics):
    design, data, gram, cross = statistics
    posterior = linear_posterior(gram, cross)
    basis, residual = design[..., 1:], data - design[..., 0]
    joint = basis @ basis.mT + torch.eye(40, dtype=torch.float64)  # covariance of the data under the model
    mean = basis.mT @ torch.linalg.solve(joint, residual[..., None])
    assert torch.allclose(posterior.mean, mean[..., 0])
    covariance = torch.eye(3, dtype=torch.float64) - basis.mT @ torch.linalg.solve(joint, basis)
    assert torch.allclose(posterior.covariance, covariance)
    model = torch.distributions.MultivariateNormal(torch.zeros(40).double(), joint).log_prob(residual)
    noise = torch.distributions.MultivariateNormal(torch.zeros(40).double(), torch.eye(40).double())
    assert torch.allclose(posterior.evidence, model - noise.log_prob(residual))
    assert torch.allclose(posterior.likelihood, model - noise.log_prob(data))


def test_contrast_is_the_scale_of_the_consensus(statistics):
    design, _, gram, _ = statistics
    data = torch.tensor([1.0, 0.5, 0.0, 2.0, -1.0], dtype=torch.float64)[:, None] * design[..., 0]
    cross = (design.mT @ data[..., None])[..., 0]
    found = linear_posterior(gram, cross).contrast
    torch.testing.assert_close(found, torch.tensor([1.0, 0.5, 0.0, 2.0, -1.0], dtype=torch.float64))


def scaled_images(spread):
    """Scales (2000,), coefficients (2000, 3), and statistics of images of a strong consensus and three directions."""
    generator = torch.Generator().manual_seed(4)
    design = torch.randn(2000, 60, 4, generator=generator, dtype=torch.float64)
    design[..., 0] *= 3
    scale = 1 + spread * torch.randn(2000, generator=generator, dtype=torch.float64)
    coefficients = torch.randn(2000, 4, generator=generator, dtype=torch.float64)
    coefficients[:, 0] = 1
    data = scale[:, None] * (design @ coefficients[..., None])[..., 0]
    data += torch.randn(2000, 60, generator=generator, dtype=torch.float64)
    return scale, coefficients[:, 1:], (design.mT @ design, (design.mT @ data[..., None])[..., 0])


def test_scales_and_their_spread_are_found():
    scale, coefficients, statistics = scaled_images(0.2)
    spread = 0.1
    for _ in range(20):
        posterior = linear_posterior(*statistics, spread)
        spread = next_spread(posterior)
    assert spread == pytest.approx(scale.std().item(), rel=0.05)
    assert (posterior.scale - scale).std() < 0.06  # 1 / sqrt(9 * 60) = 0.043 but for the directions

    def error(posterior):
        return (posterior.mean - coefficients).square().mean()

    assert error(posterior) < 0.8 * error(linear_posterior(*statistics))
    torch.testing.assert_close(posterior.contrast, linear_posterior(*statistics).contrast)


def test_equal_scales_are_found_equal():
    _, _, statistics = scaled_images(0.0)
    spread = 0.1
    for _ in range(50):
        posterior = linear_posterior(*statistics, spread)
        spread = next_spread(posterior)
    assert spread < 0.02
    assert (posterior.scale - 1).abs().max() < 0.03


def test_an_image_of_noise_has_no_negative_scale():
    _, _, (gram, cross) = scaled_images(0.2)
    assert fitted_scale(gram, -cross, 1.0)[0].max() == 0


def test_refinement_behind_the_identity_is_the_linear_posterior(statistics):
    _, _, gram, cross = statistics
    exact = linear_posterior(gram, cross)
    head = CoefficientHead(3, 3, linear_start=True).double()
    refined = refined_posterior((gram, cross), exact, head, torch.zeros(5, 3, dtype=torch.float64))
    assert torch.allclose(refined.mean, exact.mean)
    assert torch.allclose(refined.covariance, exact.covariance)
    assert torch.allclose(refined.evidence, exact.evidence)
    assert torch.allclose(refined.likelihood, exact.likelihood)
    assert refined.scale is exact.scale


def test_refinement_finds_the_peak_behind_a_curved_head(statistics):
    _, _, gram, cross = statistics
    torch.manual_seed(1)
    head = CoefficientHead(3, 3, linear_start=True).double()
    torch.nn.init.normal_(head.leave.weight, std=0.05)
    refined = refined_posterior(
        (gram, cross), linear_posterior(gram, cross), head, torch.zeros(5, 3).double(), iterations=20
    )
    latent = refined.mean.clone().requires_grad_()
    s = head(latent)
    target = cross[:, 1:] - gram[:, 1:, 0]
    log_posterior = (
        (target * s).sum()
        - (s[:, None] @ gram[:, 1:, 1:] @ s[..., None]).sum() / 2
        - latent.square().sum() / 2
    )
    log_posterior.backward()
    assert latent.grad.abs().max() < 1e-3


def test_encoder_starts_as_the_exact_posterior(statistics):
    _, _, gram, cross = statistics
    exact = linear_posterior(gram, cross)
    encoder = PosteriorEncoder(3, 16).double()
    mean, log_variance = encoder(exact.mean, exact.covariance, exact.information)
    assert torch.allclose(mean, exact.mean)
    assert torch.allclose(log_variance.exp(), exact.covariance.diagonal(dim1=-2, dim2=-1))


def test_divergence_is_that_of_two_gaussians():
    mean, log_variance = torch.tensor([[0.3, -1.2]]), torch.tensor([[-0.5, 0.4]])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)
    ).sum(-1)
    assert torch.allclose(kl_divergence(mean, log_variance), expected)


def test_samples_have_the_mean_and_variance_asked_for():
    mean, log_variance = torch.full((50_000, 1), 2.0), torch.full((50_000, 1), -1.0)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    sample = sample_latent(mean, log_variance, noise)
    assert sample.mean().item() == pytest.approx(2.0, abs=0.01)
    assert sample.var().item() == pytest.approx(torch.tensor(-1.0).exp().item(), abs=0.01)
