import math

import pytest
import torch
from problem import DEVICES, Problem, make_problem, relative_error
from torch import Tensor

from napari_sbackprop import ops
from napari_sbackprop.imaging.poses import random_rotations, slice_matrix
from napari_sbackprop.ops import reference
from napari_sbackprop.ops.tables import mirror_pairs

CHANNELS = [2, 5, 17]  # vectors of two, loops with a tail, compile-time constants
TOLERANCE = 3e-6  # float32 kernels against the float64 reference


def axis_rotations() -> Tensor:
    """All 24 rotations that map the axes onto each other: every pixel is a lattice point."""
    found = []
    identity = torch.eye(3)
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):
        for signs in range(8):
            flip = torch.tensor([1.0 - 2.0 * (signs >> axis & 1) for axis in range(3)])
            candidate = identity[list(order)] * flip
            if torch.linalg.det(candidate) > 0:
                found.append(candidate)
    return torch.stack(found)


def stretched_rotations(factor: float) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shear = torch.eye(3) * factor
    shear[0, 1] = 0.02
    rotation = torch.linalg.qr(torch.randn(5, 3, 3, generator=generator)).Q
    return shear @ rotation


def magnified_rotations(stretch: float) -> Tensor:
    """Slice matrices of images with an anisotropic magnification, some of whose pixels lie beyond the sphere."""
    rotation = random_rotations(64, torch.Generator().manual_seed(4))
    return slice_matrix(rotation, torch.tensor([[stretch, 0.01], [-0.01, 0.96]])).float()


POSES = {
    "random": lambda: None,
    "axes": axis_rotations,
    "sheared": lambda: stretched_rotations(1.0),
    "padded": lambda: stretched_rotations(0.5),
    "stretched": lambda: stretched_rotations(2.0),
    "magnified": lambda: magnified_rotations(1.03),
}


@pytest.fixture(params=POSES.values(), ids=POSES.keys())
def rotation(request: pytest.FixtureRequest) -> Tensor | None:
    return request.param()


def project_with_gradients(
    problem: Problem, project: object, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = [t.clone().requires_grad_() for t in (problem.volumes, problem.coefficients, problem.rotation)]
    slices = project(*inputs, problem.disc, problem.sphere)  # type: ignore[operator]
    loss = (slices * gradient.to(slices.dtype).conj()).real.sum()
    return slices, *torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_project_and_its_gradients_agree_with_the_float64_reference(
    channels: int, rotation: Tensor | None, device: str
) -> None:
    problem = make_problem(channels=channels, rotation=rotation, device=device)
    if rotation is not None:  # keep points off the lattice, where the slope in the rotation is one-sided
        noise = torch.randn(problem.rotation.shape, generator=torch.Generator().manual_seed(1))
        problem.rotation.add_(1e-3 * noise.to(device))
    results = project_with_gradients(problem, ops.project, problem.data)
    truths = project_with_gradients(problem.double(), reference.project, problem.data)
    for name, result, truth in zip(("slices", "dV", "ds", "dA"), results, truths, strict=True):
        assert relative_error(result, truth) < 10 * TOLERANCE, name


def misfit_of(problem: Problem, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    gradient = torch.zeros_like(problem.volumes)
    pose = problem.rotation[rows]
    images = (problem.data, problem.transfer, rows, problem.disc, problem.sphere)
    energy, slope = ops.misfit(problem.volumes, problem.coefficients[rows], pose, *images, gradient)
    return energy, slope, gradient


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_misfit_and_its_gradients_agree_with_the_float64_reference(
    channels: int, rotation: Tensor | None, device: str
) -> None:
    problem = make_problem(channels=channels, rotation=rotation, device=device)
    rows = torch.tensor([3, 1, 4, 1], device=device)
    exact = problem.double()
    volumes, coefficients = exact.volumes.requires_grad_(), exact.coefficients[rows].requires_grad_()
    slices = reference.project(volumes, coefficients, exact.rotation[rows], exact.disc, exact.sphere)
    residual = exact.transfer[rows] * slices - exact.data[rows]
    energy = residual.abs().square() @ exact.disc.weight.to(residual.real)
    expected = (energy, *torch.autograd.grad(energy.sum(), (coefficients, volumes)))
    for value, truth in zip(misfit_of(problem, rows), expected, strict=True):
        assert relative_error(value, truth) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
def test_misfit_adds_to_the_gradient(device: str) -> None:
    problem = make_problem(device=device)
    first, second = torch.arange(3), torch.arange(3, 6)  # on the CPU, as training's are
    gradient = torch.zeros_like(problem.volumes)
    for rows in (first, second):
        images = (problem.data, problem.transfer, rows, problem.disc, problem.sphere)
        ops.misfit(problem.volumes, problem.coefficients[rows], problem.rotation[rows], *images, gradient)
    together = misfit_of(problem, torch.cat([first, second]))[2]
    assert relative_error(gradient, together) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_descent_makes_the_same_step_as_the_reference_and_empties_the_gradient(
    channels: int, device: str
) -> None:
    problem = make_problem(channels=channels, device=device)
    sphere, generator = problem.sphere, torch.Generator().manual_seed(1)
    gradient = torch.randn(problem.volumes.shape, generator=generator).to(device)
    weight = torch.rand(sphere.size, generator=generator).to(device)
    inverse = torch.rand(sphere.size, channels, generator=generator).to(device)
    numbers = [problem.volumes, gradient, weight, inverse]
    expected = [tensor.double() for tensor in numbers]
    reference.descend(*expected, mirror_pairs(sphere, problem.volumes.device), 0.2, 0.7)
    ops.descend(*numbers, sphere, decay=0.2, pull=0.7)
    assert relative_error(problem.volumes, expected[0]) < 1e-6
    assert not gradient.any()


def test_descent_keeps_the_plane_of_a_real_map_hermitian() -> None:
    problem = make_problem()
    sphere, volumes = problem.sphere, torch.zeros_like(problem.volumes)
    gradient, plane = problem.volumes.clone(), sphere.coordinates[:, 0] == 0
    values = torch.view_as_complex(gradient)
    expected = torch.where(plane[:, None], (values + values[sphere.conjugate].conj()) / 2, values)
    ones = torch.ones(sphere.size)
    ops.descend(volumes, gradient, ones, ones[:, None].repeat(1, 5), sphere, decay=0.0, pull=-1.0)
    torch.testing.assert_close(torch.view_as_complex(volumes), expected)


def test_tensors_changed_in_place_must_be_the_kernels_own() -> None:
    problem = make_problem()
    images = (problem.data, problem.transfer, torch.arange(6), problem.disc, problem.sphere)
    start = (problem.volumes, problem.coefficients, problem.rotation, *images)
    strided = torch.zeros_like(problem.volumes).transpose(1, 2).contiguous().transpose(1, 2)
    for gradient in (strided, torch.zeros_like(problem.volumes, dtype=torch.float64)):
        with pytest.raises(ValueError, match="gradient is changed in place"):
            ops.misfit(*start, gradient)
    ones = torch.ones(problem.sphere.size)
    with pytest.raises(ValueError, match="volumes has the shape"):
        ops.descend(
            problem.volumes[1:], problem.volumes[1:], ones, ones[:, None], problem.sphere, decay=0, pull=0
        )


@pytest.mark.parametrize("rows", [[-1, 0], [0, 6]])
def test_rows_without_an_image_are_refused(rows: list[int]) -> None:
    problem = make_problem()
    images = (problem.data, problem.transfer, torch.tensor(rows), problem.disc, problem.sphere)
    with pytest.raises(ValueError, match="but there are 6 images"):
        ops.misfit(
            problem.volumes,
            problem.coefficients[:2],
            problem.rotation[:2],
            *images,
            torch.zeros_like(problem.volumes),
        )


def test_rows_must_be_integers() -> None:
    problem = make_problem()
    images = (problem.data, problem.transfer, torch.ones(6) > 0, problem.disc, problem.sphere)
    with pytest.raises(ValueError, match="expected integers"):
        ops.misfit(
            problem.volumes,
            problem.coefficients,
            problem.rotation,
            *images,
            torch.zeros_like(problem.volumes),
        )


def test_repeated_descent_reaches_the_minimum_that_the_prior_allows() -> None:
    """One voxel off the plane x = 0 with weight w, prior p and data d minimises w |V - d|^2 + p |V|^2: V = w d / (w + p)."""
    problem = make_problem(channels=1)
    sphere, volumes = problem.sphere, torch.zeros(problem.sphere.size, 1, 2)
    weight, prior = torch.full((sphere.size,), 3.0), 1.0
    inverse = (1 / (weight + prior))[:, None]
    gradient = torch.zeros_like(volumes)
    for _ in range(60):
        gradient += 2 * weight[:, None, None] * (volumes - 1)
        ops.descend(volumes, gradient, weight, inverse, sphere, decay=0.5, pull=0.25)
    interior = sphere.coordinates[:, 0] > 0
    torch.testing.assert_close(volumes[interior], torch.full_like(volumes[interior], 0.75))


@pytest.mark.parametrize("device", DEVICES)
def test_lattice_points_are_read_exactly(device: str) -> None:
    problem = make_problem(rotation=axis_rotations(), device=device)
    slices = ops.project(
        problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere
    )
    wide = problem.double()
    truth = reference.project(wide.volumes, wide.coefficients, wide.rotation, wide.disc, wide.sphere)
    assert relative_error(slices, truth) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_gram_agrees_with_the_float64_reference(channels: int, rotation: Tensor | None, device: str) -> None:
    problem = make_problem(channels=channels, rotation=rotation, device=device)
    wide = problem.double()
    results = ops.gram(
        problem.volumes, problem.data, problem.transfer, problem.rotation, problem.disc, problem.sphere
    )
    truths = reference.gram(wide.volumes, wide.data, wide.transfer, wide.rotation, wide.disc, wide.sphere)
    for result, truth in zip(results, truths, strict=True):
        assert relative_error(result, truth) < TOLERANCE


def add_normal_equations(problem: Problem, add: object) -> tuple[Tensor, Tensor]:
    channels = problem.volumes.shape[1]
    start = torch.ones_like(problem.volumes)
    matrix, vector = start.new_ones(len(start), channels * (channels + 1) // 2), start
    numbers = (problem.data, problem.transfer, problem.coefficients, problem.second, problem.rotation)
    add(*numbers, problem.disc, problem.sphere, matrix, vector)  # type: ignore[operator]
    return matrix, vector


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_normal_equations_add_what_the_float64_reference_adds(
    channels: int, rotation: Tensor | None, device: str
) -> None:
    problem = make_problem(channels=channels, rotation=rotation, device=device)
    results = add_normal_equations(problem, ops.normal_equations)
    truths = add_normal_equations(problem.double(), reference.normal_equations)
    for result, truth in zip(results, truths, strict=True):
        assert relative_error(result, truth) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
def test_gram_is_the_inner_product_of_projections(device: str) -> None:
    problem = make_problem(channels=4, device=device)
    ones = torch.ones_like(problem.transfer)
    matrix, _ = ops.gram(problem.volumes, problem.data, ones, problem.rotation, problem.disc, problem.sphere)
    slices = ops.project(
        problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere
    )
    energy = 2 * (problem.disc.weight.to(device) * slices.abs().square()).sum(-1)
    quadratic = torch.einsum("bc,bcd,bd->b", problem.coefficients, matrix, problem.coefficients)
    torch.testing.assert_close(quadratic, energy, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("device", DEVICES)
def test_turning_an_image_by_half_a_turn_conjugates_it(device: str) -> None:
    problem = make_problem(device=device)
    turned = problem.rotation.clone()
    turned[:, :2] *= -1  # the slice at -p
    arguments = (problem.disc, problem.sphere)
    slices = ops.project(problem.volumes, problem.coefficients, problem.rotation, *arguments)
    opposite = ops.project(problem.volumes, problem.coefficients, turned, *arguments)
    # At p = 0 both read the same voxel, whose imaginary part nothing has tied to zero here.
    elsewhere = problem.disc.shell > 0
    torch.testing.assert_close(opposite[:, elsewhere], slices[:, elsewhere].conj(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_points_beyond_the_sphere_are_zero_and_get_no_gradient(device: str) -> None:
    problem = make_problem(rotation=stretched_rotations(2.0), device=device)
    slices, volumes, _, _ = project_with_gradients(problem, ops.project, problem.data)
    pixels = problem.disc.coordinates.to(problem.rotation)
    beyond = (pixels @ problem.rotation[:, :2]).norm(dim=-1) > problem.sphere.radius + 0.5
    assert beyond.any()
    assert not slices[beyond].any()
    assert torch.isfinite(volumes).all()


def test_the_outermost_shell_reads_inside_the_sphere() -> None:
    # A row of the table beyond the stored voxels would read another row's numbers: with a volume that is 1 everywhere
    # the eight weights of every pixel must add up to 1.
    problem = make_problem(radius=16, batch=64, channels=1)
    volumes = torch.zeros_like(problem.volumes)
    volumes[..., 0] = 1
    ones = torch.ones_like(problem.coefficients)
    slices = ops.project(volumes, ones, problem.rotation, problem.disc, problem.sphere)
    torch.testing.assert_close(slices, torch.ones_like(slices), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stretch", [1.03, 1.3])  # a tile's voxels fit the kernels' local box, or do not
def test_magnified_slices_read_nothing_but_stored_voxels(stretch: float, device: str) -> None:
    problem = make_problem(radius=16, channels=2, rotation=magnified_rotations(stretch), device=device)
    points = problem.disc.coordinates.to(problem.rotation) @ problem.rotation[:, :2]
    beyond = points.norm(dim=-1) > problem.sphere.radius + 0.5
    assert beyond.any(-1).all()
    # Whatever lies before or behind the volumes in memory would turn a sum into NaN.
    guard = torch.full((3 * problem.sphere.size, 2, 2), torch.nan, device=device)
    volumes = guard[problem.sphere.size : 2 * problem.sphere.size].copy_(torch.tensor([1.0, 0.0]))
    half = torch.full_like(problem.coefficients, 0.5)
    slices = ops.project(volumes, half, problem.rotation, problem.disc, problem.sphere)
    torch.testing.assert_close(slices, (~beyond).to(slices.dtype), rtol=1e-5, atol=1e-5)
    data, transfer = torch.ones_like(problem.data), torch.ones_like(problem.transfer)
    matrix, vector = ops.gram(volumes, data, transfer, problem.rotation, problem.disc, problem.sphere)
    inside = 2 * (~beyond).float() @ problem.disc.weight.to(device)
    torch.testing.assert_close(matrix, inside[:, None, None].expand(-1, 2, 2), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(vector, inside[:, None].expand(-1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_an_empty_batch_is_allowed(device: str) -> None:
    problem = make_problem(rotation=torch.zeros(0, 3, 3), device=device)
    slices = ops.project(
        problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere
    )
    assert slices.shape == (0, problem.disc.size)


def test_shapes_that_do_not_fit_are_named() -> None:
    problem = make_problem()
    with pytest.raises(ValueError, match=r"rotation has the shape \(5, 3, 3\), expected \(6, 3, 3\)"):
        ops.project(problem.volumes, problem.coefficients, problem.rotation[:5], problem.disc, problem.sphere)


def test_rotation_by_a_degree_moves_the_slice_as_its_gradient_says() -> None:
    problem = make_problem(batch=2, channels=3).double()
    angle = math.radians(1e-4)
    turn = torch.tensor(
        [[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]],
        dtype=torch.float64,
    )
    rotation = problem.rotation.clone().requires_grad_()
    arguments = (problem.disc, problem.sphere)
    before = ops.project(problem.volumes, problem.coefficients, rotation, *arguments).abs().square().sum()
    after = ops.project(problem.volumes, problem.coefficients, turn @ problem.rotation, *arguments)
    (slope,) = torch.autograd.grad(before, rotation)
    predicted = (slope * ((turn - torch.eye(3, dtype=torch.float64)) @ problem.rotation)).sum()
    actual = after.abs().square().sum() - before
    torch.testing.assert_close(predicted, actual.detach(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_pose_that_is_not_a_number_reads_nothing(bad: float, device: str) -> None:
    problem = make_problem(device=device)
    whole = ops.project(problem.volumes, problem.coefficients, problem.rotation, problem.disc, problem.sphere)
    problem.rotation[2] = bad
    slices, volumes, coefficients, _ = project_with_gradients(problem, ops.project, problem.data)
    others = torch.tensor([0, 1, 3, 4, 5])
    torch.testing.assert_close(slices[others], whole[others])
    assert not slices[2].any()
    assert torch.isfinite(volumes).all()
    assert torch.isfinite(coefficients).all()
